-- Jobs over the collection manual: a call is submitted, the transaction ends, and a process of its own does the work.

\echo A search as a job; the key makes it the same job, however often it is submitted
SELECT rag.submit('search', '{"collection": "manual", "query": "how do I take a base backup?", "k": 3}',
                  idempotency_key => 'base backup') AS job \gset
CALL rag.wait(:job, '60s');
SELECT hit->>'rank' AS rank, hit->>'title' AS title FROM jsonb_array_elements(rag.result(:job)) hit;

\echo An answer, read piece by piece: ask again with the last number until the status is not running any more
SELECT rag.submit('ask', '{"collection": "manual", "question": "How do I take a base backup?"}') AS job \gset
SELECT seq, left(piece, 70) AS piece, status FROM rag.next(:job, after => 0, wait_ms => 10000);

\echo What became of them
CALL rag.wait(:job, '60s');
SELECT kind, status, attempts, sqlstate FROM rag.jobs WHERE submitter = current_user ORDER BY id DESC LIMIT 2;

\echo One that is not wanted any more
SELECT rag.submit('embed', '{"input": "nobody waits for this"}') AS job \gset
SELECT rag.cancel(:job) IN (true, false) AS asked;

-- What rag.submit and its kin refuse, and what they take.

-- Kinds that this version has.
SELECT rag.submit('serch', '{}');
SELECT rag.submit(NULL, '{}');
SELECT rag.submit('search', NULL);

-- Arguments are those of the function.
SELECT rag.submit('search', '["a"]');
SELECT rag.submit('search', '{"query": "x"}');
SELECT rag.submit('search', '{"collection": "c", "query": "x", "filtr": {}}');
SELECT rag.submit('search', '{"collection": "c", "query": "x", "zzz": 1}');
SELECT rag.submit('search', '{"collection": "c", "query": "x", "k": [1]}');
SELECT rag.submit('search', '{"collection": "c", "query": {"text": "x"}}');
SELECT rag.submit('embed', '{"input": {"text": "x"}}');
SELECT rag.submit('refresh', '{}');
\set VERBOSITY sqlstate
SELECT rag.submit('search', '{"collection": "c", "query": "x", "k": "many"}');
\set VERBOSITY default
SELECT rag.submit('embed', '{"input": "x"}', timeout_ms => 0);
SELECT rag.submit('embed', '{"input": "x"}', timeout_ms => -1);

-- There is no such job, or not for this role.
SELECT rag.job_result(0);
SELECT * FROM rag.job_pieces(0);
SELECT rag.cancel_job(0);
CALL rag.wait_for_job(0);
SELECT rag.job_result(NULL);
SELECT * FROM rag.job_pieces(1, -1);
SELECT * FROM rag.job_pieces(1, 0, -1);
CALL rag.wait_for_job(1, '-1s');

-- A transaction cannot wait for a job that it has not committed.
BEGIN;
SELECT rag.submit('embed', '{"input": "a text"}') AS job \gset
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT rag.job_result(:job);
ROLLBACK TO s;
SELECT * FROM rag.job_pieces(:job);
ROLLBACK TO s;
CALL rag.wait_for_job(:job);
\set VERBOSITY default
ROLLBACK TO s;
SELECT kind, args, status, attempts FROM rag.jobs WHERE id = :job;
SELECT rag.cancel_job(:job);
SELECT status, sqlstate FROM rag.jobs WHERE id = :job;
SELECT rag.cancel_job(:job);
ROLLBACK;

-- No role writes the table.
CREATE ROLE regress_submitter LOGIN;
SET ROLE regress_submitter;
INSERT INTO rag._job (kind, args, submitter) VALUES ('embed', '{}', 'regress_submitter');
UPDATE rag.jobs SET status = 'done';
SELECT count(*) FROM rag.jobs;
RESET ROLE;
DROP ROLE regress_submitter;

-- A job is done.
SELECT rag.submit('embed', '{"input": "a text"}') AS job \gset
CALL rag.wait_for_job(:job, '60s');
SELECT rag.job_result(:job) #>> '{}' = rag.embed('a text')::text AS same;
SELECT status, attempts, sqlstate FROM rag.jobs WHERE id = :job;

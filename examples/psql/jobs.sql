-- Calls as jobs: no transaction is open while a model thinks.
--   psql -f examples/psql/jobs.sql                     a question to a collection; needs no provider
--   psql -v url=… -v key=… -f examples/psql/jobs.sql   and a long answer of a provider's model
\ir providers.sql
\ir library.sql

-- The job begins when this commits, and its end is notified on the channel rag_job. What a role submits twice under one
-- key is one job.
SELECT rag.submit('ask', '{"collection": "library", "question": "When is the library open?", "model": "local/extractive"}',
                  idempotency_key => 'opening hours of ' || current_date) AS job \gset
CALL rag.wait_for_job(:job, timeout => '1 min');
SELECT rag.job_result(:job)->>'answer' AS answer;

\if :{?url}
  -- The pieces of an answer, in short statements: all after the last that was read, as soon as there are some.
  SELECT rag.submit('generate',
                    jsonb_build_object('prompt', 'Tell me about the sea.', 'model', :'model', 'temperature', 0, 'max_tokens', 20)) AS job \gset
  SELECT seq, piece, status FROM rag.job_pieces(:job, after => 0, timeout_ms => 10000);
  CALL rag.wait_for_job(:job, timeout => '1 min');
  SELECT string_agg(piece, '' ORDER BY seq) = rag.job_result(:job)#>>'{}' AS pieces_are_the_result FROM rag.job_pieces(:job);

  -- One that is not wanted any more
  SELECT rag.submit('generate',
                    jsonb_build_object('prompt', 'Write a long novel.', 'model', :'model', 'temperature', 0, 'max_tokens', 1500)) AS job \gset
  SELECT piece AS beginning FROM rag.job_pieces(:job, timeout_ms => 10000) LIMIT 1;
  SELECT rag.cancel_job(:job) AS cancelled;
  CALL rag.wait_for_job(:job, timeout => '1 min');
\endif

-- One's own jobs, the last ones first
SELECT kind, status, attempts, sqlstate FROM rag.jobs ORDER BY id DESC LIMIT 3;

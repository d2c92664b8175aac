-- Jobs: calls that run in a process of their own, so that no caller's transaction is open meanwhile.

CREATE TABLE rag._job (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind text NOT NULL,
  args jsonb NOT NULL,
  submitter regrole NOT NULL,
  status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
  submitted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  started_at timestamptz,
  finished_at timestamptz,
  attempts integer NOT NULL DEFAULT 0,
  pid integer,
  result jsonb,
  sqlstate text,
  message text,
  detail text,
  hint text,
  idempotency_key text,
  timeout_ms integer CHECK (timeout_ms > 0),
  UNIQUE (submitter, idempotency_key)
);

CREATE INDEX _job_unfinished ON rag._job (id) WHERE status IN ('queued', 'running');
CREATE INDEX _job_finished ON rag._job (finished_at) WHERE finished_at IS NOT NULL;

-- What has not been done yet is done where the dump is restored. What was done is history.
SELECT pg_catalog.pg_extension_config_dump('rag._job', 'WHERE status IN (''queued'', ''running'')');
SELECT pg_catalog.pg_extension_config_dump('rag._job_id_seq', '');

COMMENT ON TABLE rag._job IS 'internal: jobs as rag.submit took them; see rag.jobs';
COMMENT ON SEQUENCE rag._job_id_seq IS 'internal: numbers of jobs';
COMMENT ON INDEX rag._job_unfinished IS 'internal: what is left to do';
COMMENT ON INDEX rag._job_finished IS 'internal: what can be forgotten';
COMMENT ON COLUMN rag._job.args IS 'named arguments of the function that the kind stands for';
COMMENT ON COLUMN rag._job.submitter IS 'role that the job runs as';
COMMENT ON COLUMN rag._job.attempts IS 'how often a worker has begun with it';
COMMENT ON COLUMN rag._job.pid IS 'process that began with it last';
COMMENT ON COLUMN rag._job.result IS 'what the function gave; JSON null for NULL';
COMMENT ON COLUMN rag._job.sqlstate IS 'of the error that ended it';
COMMENT ON COLUMN rag._job.idempotency_key IS 'what the submitter calls the same job, so that it is submitted once';
COMMENT ON COLUMN rag._job.timeout_ms IS 'how many milliseconds it may take from the moment at which a worker begins with it';

-- A barrier, so that no function of a reader's sees the rows of others.
CREATE VIEW rag.jobs WITH (security_barrier) AS
SELECT id,
       kind,
       args,
       pg_catalog.pg_get_userbyid(submitter) AS submitter,
       status,
       submitted_at,
       started_at,
       finished_at,
       attempts,
       CASE status WHEN 'running' THEN pid END AS pid,
       result,
       sqlstate,
       message,
       detail,
       hint,
       idempotency_key,
       timeout_ms,
       CASE status WHEN 'queued' THEN rag._job_waits_for(submitter::pg_catalog.oid) END AS waits_for
FROM rag._job
WHERE pg_catalog.pg_has_role(submitter, 'USAGE')
   OR coalesce(pg_catalog.pg_has_role(pg_catalog.to_regrole('rag_auditor'), 'USAGE'), false);

GRANT SELECT ON rag.jobs TO PUBLIC;

COMMENT ON VIEW rag.jobs IS
'jobs that the reader, or a role that he is a member of, has submitted; members of rag_auditor see all';
COMMENT ON COLUMN rag.jobs.submitter IS 'role that the job runs as';
COMMENT ON COLUMN rag.jobs.status IS 'queued, running, done, failed or cancelled';
COMMENT ON COLUMN rag.jobs.attempts IS 'how often a worker has begun with it; more than 1 where a worker or the server ended in the middle of it';
COMMENT ON COLUMN rag.jobs.pid IS 'process that works on it';
COMMENT ON COLUMN rag.jobs.result IS 'what the function gave; JSON null for NULL';
COMMENT ON COLUMN rag.jobs.sqlstate IS 'of the error that ended it, with message, detail and hint';
COMMENT ON COLUMN rag.jobs.waits_for IS
'setting that keeps a queued job from beginning: rag.max_job_workers, rag.max_job_workers_per_role, rag.max_sync_workers or max_worker_processes; NULL where it is about to begin';
COMMENT ON COLUMN rag.jobs.timeout_ms IS 'how many milliseconds it may take from the moment at which a worker begins with it; NULL for no limit';

ALTER FUNCTION rag.job_pieces(bigint, integer, integer) ROWS 10;

CREATE PROCEDURE rag.wait_for_job(id bigint, timeout interval DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'ragstone_wait_for_job';

COMMENT ON FUNCTION rag.submit(text, jsonb, text, integer) IS
'have a function called in a process of its own, as the current role, when the transaction commits; kind is embed, search, refresh, generate, ask, chat or agent, args are its named arguments. The same idempotency key gives the same job. A job that takes longer than timeout_ms fails (57014). Gives the job''s number';
COMMENT ON FUNCTION rag._job_waits_for(oid) IS 'internal: setting that keeps queued jobs of a role from beginning';
COMMENT ON FUNCTION rag.job_pieces(bigint, integer, integer) IS
'pieces of a job''s answer after a number, as soon as there are some, and the job''s status in each row; one row without a piece where there are none. Where seq - 1 is a multiple of 1,000,000 the answer begins anew. timeout_ms is the longest wait';
COMMENT ON FUNCTION rag.job_result(bigint) IS
'what a job gave; raises the error with which it failed, and 57014 where it was cancelled; NULL while it has not ended';
COMMENT ON FUNCTION rag.cancel_job(bigint) IS
'cancel a job that has not ended; false if it has. One that runs is interrupted, and is cancelled as soon as it has noticed';
COMMENT ON PROCEDURE rag.wait_for_job(bigint, interval) IS
'wait until a job has ended, without a snapshot; an error (57014) when the timeout is over before. Not in a transaction block';

-- Jobs: calls that run in a process of their own, so that the caller's transaction does not stay open.

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

-- Jobs that have not ended run where the dump is restored. Ended jobs are not dumped.
SELECT pg_catalog.pg_extension_config_dump('rag._job', 'WHERE status IN (''queued'', ''running'')');
SELECT pg_catalog.pg_extension_config_dump('rag._job_id_seq', '');

COMMENT ON TABLE rag._job IS 'internal: jobs as rag.submit accepted them; see rag.jobs';
COMMENT ON SEQUENCE rag._job_id_seq IS 'internal: ids of jobs';
COMMENT ON INDEX rag._job_unfinished IS 'internal: jobs that have not ended';
COMMENT ON INDEX rag._job_finished IS 'internal: jobs that can be deleted';
COMMENT ON COLUMN rag._job.args IS 'named arguments of the function that the kind stands for';
COMMENT ON COLUMN rag._job.submitter IS 'role that the job runs as';
COMMENT ON COLUMN rag._job.attempts IS 'number of times that a worker has started it';
COMMENT ON COLUMN rag._job.pid IS 'process that started it last';
COMMENT ON COLUMN rag._job.result IS 'the function''s result; JSON null for NULL';
COMMENT ON COLUMN rag._job.sqlstate IS 'SQLSTATE of the error that ended it';
COMMENT ON COLUMN rag._job.idempotency_key IS 'submitter''s name for the job, so that it is submitted only once';
COMMENT ON COLUMN rag._job.timeout_ms IS 'maximum milliseconds from the moment when a worker starts it';

-- A security barrier, so that functions in a reader's query do not see other roles' rows.
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
'jobs submitted by the reader or by a role that the reader is a member of; members of rag_auditor see all';
COMMENT ON COLUMN rag.jobs.submitter IS 'role that the job runs as';
COMMENT ON COLUMN rag.jobs.status IS 'queued, running, done, failed or cancelled';
COMMENT ON COLUMN rag.jobs.attempts IS 'number of times that a worker has started it; more than 1 if a worker or the server ended while it ran';
COMMENT ON COLUMN rag.jobs.pid IS 'process that runs it';
COMMENT ON COLUMN rag.jobs.result IS 'the function''s result; JSON null for NULL';
COMMENT ON COLUMN rag.jobs.sqlstate IS 'SQLSTATE of the error that ended it, with message, detail and hint';
COMMENT ON COLUMN rag.jobs.waits_for IS
'setting that keeps a queued job from starting: rag.max_job_workers, rag.max_job_workers_per_role, rag.max_sync_workers or max_worker_processes; NULL if it is about to start';
COMMENT ON COLUMN rag.jobs.timeout_ms IS 'maximum milliseconds from the moment when a worker starts it; NULL for no limit';

ALTER FUNCTION rag.job_pieces(bigint, integer, integer) ROWS 10;

CREATE PROCEDURE rag.wait_for_job(id bigint, timeout interval DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'ragstone_wait_for_job';

COMMENT ON FUNCTION rag.submit(text, jsonb, text, integer) IS
'call a function as a job: in a process of its own, as the current role, after the transaction commits; returns the job''s number';
COMMENT ON FUNCTION rag._job_waits_for(oid) IS 'internal: setting that keeps queued jobs of a role from starting';
COMMENT ON FUNCTION rag.job_pieces(bigint, integer, integer) IS
'wait for further pieces of a job''s answer and return them with the job''s status; one row without a piece if none comes';
COMMENT ON FUNCTION rag.job_result(bigint) IS
'result of a job; raises the error that ended it; NULL while it has not ended';
COMMENT ON FUNCTION rag.cancel_job(bigint) IS
'cancel a job; returns false if it has ended';
COMMENT ON PROCEDURE rag.wait_for_job(bigint, interval) IS
'wait until a job has ended, without holding a snapshot; not in a transaction block';

-- The log of agents: runs, and their steps. See rag.start_run and rag.log_step.

-- Not identity columns: an id is taken before its row is made, and another process may write the row.
CREATE SEQUENCE rag._run_id;
CREATE SEQUENCE rag._step_id;

-- Both are partitioned by weeks, which the database's coordinator creates in advance; the default partition takes rows of other weeks. Keys
-- are the partitions' own: a dump contains the weeks, and if the parent had a key, ATTACH PARTITION would create the key that the dump
-- is about to create.
-- They are read through views: pg_dump would dump policies of an extension's table separately from the extension, and the restore would
-- fail. rag._owner has the role of each owner's name. There are no foreign keys: a step may be written before its run.
CREATE TABLE rag._runs (
  id bigint NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  session bigint,
  job bigint,
  status text NOT NULL CHECK (status IN ('running', 'waiting', 'done', 'failed', 'cancelled')),
  input jsonb,
  output jsonb,
  error text,
  sqlstate text,
  trace_id text,
  parent_span_id text,
  attributes jsonb,
  started timestamptz NOT NULL,
  finished timestamptz,
  caller_xid bigint,
  rolled_back boolean,
  written bigint NOT NULL,
  counted boolean NOT NULL DEFAULT false
) PARTITION BY RANGE (started);

CREATE TABLE rag._runs_other PARTITION OF rag._runs (PRIMARY KEY (id, started)) DEFAULT;
CREATE INDEX _runs_other_started ON rag._runs_other (started);

CREATE TABLE rag._steps (
  id bigint NOT NULL,
  run_id bigint NOT NULL,
  number integer NOT NULL,
  parent_id bigint,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('message', 'model', 'tool', 'retrieval', 'error', 'custom')),
  name text,
  input jsonb,
  output jsonb,
  model text,
  input_tokens bigint,
  output_tokens bigint,
  cost double precision,
  started timestamptz NOT NULL,
  duration_ms double precision,
  status text NOT NULL CHECK (status IN ('ok', 'error', 'running', 'waiting', 'approved', 'rejected', 'cancelled')),
  error text,
  sqlstate text,
  attributes jsonb,
  caller_xid bigint,
  rolled_back boolean,
  written bigint NOT NULL
) PARTITION BY RANGE (started);

CREATE TABLE rag._steps_other PARTITION OF rag._steps (PRIMARY KEY (id, started)) DEFAULT;
CREATE INDEX _steps_other_run ON rag._steps_other (run_id, number);
CREATE INDEX _steps_other_started ON rag._steps_other (started);
-- By these the coordinator finds rows that are not in the sums of the reports yet.
CREATE INDEX _runs_other_ended ON rag._runs_other (id) WHERE NOT counted AND finished IS NOT NULL;
CREATE INDEX _runs_other_imported ON rag._runs_other ((attributes->>'log.digest'::text)) WHERE attributes->>'log.digest'::text IS NOT NULL;
CREATE INDEX _steps_other_written ON rag._steps_other (written, id);

-- The last ids of each day: they tell how long a row has been stored, whenever its step was taken.
CREATE TABLE rag._log_days (
  day date PRIMARY KEY,
  run_id bigint NOT NULL,
  step_id bigint NOT NULL
);

-- Rows that were written before their callers' transactions ended. Once such a transaction has ended, its outcome is stored in the row. A
-- dump contains this table, since these transactions were open when it was made; transaction numbers are those of the row's server.
-- The table's name sorts after those of the tables with the rows, so that a dump brings it after them: an entry without its row is deleted.
CREATE TABLE rag._uncommitted_row (
  caller_xid bigint NOT NULL,
  is_run boolean NOT NULL,
  id bigint NOT NULL,
  started timestamptz NOT NULL,
  server uuid NOT NULL
);

-- A table without a key that a publication for all tables includes needs this for UPDATE and DELETE.
ALTER TABLE rag._uncommitted_row REPLICA IDENTITY FULL;

-- Transactions that were rolled back and whose rows do not say so yet.
CREATE VIEW rag._rolled_back AS
SELECT u.caller_xid
FROM (SELECT DISTINCT caller_xid, server FROM rag._uncommitted_row) u CROSS JOIN rag._server s
WHERE CASE WHEN u.server <> s.server THEN true
           WHEN u.caller_xid::text::xid8 < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
             THEN pg_catalog.pg_xact_status(u.caller_xid::text::xid8) = 'aborted'
           ELSE false END;

-- The partitions are not members of the extension: dumps contain them with their rows.
SELECT pg_catalog.pg_extension_config_dump('rag._runs_other', '');
SELECT pg_catalog.pg_extension_config_dump('rag._steps_other', '');
SELECT pg_catalog.pg_extension_config_dump('rag._log_days', '');
SELECT pg_catalog.pg_extension_config_dump('rag._uncommitted_row', '');
SELECT pg_catalog.pg_extension_config_dump('rag._run_id', '');
SELECT pg_catalog.pg_extension_config_dump('rag._step_id', '');

COMMENT ON SEQUENCE rag._run_id IS 'internal: ids of runs';
COMMENT ON SEQUENCE rag._step_id IS 'internal: ids of steps';
COMMENT ON TABLE rag._runs IS 'internal: runs of agents, partitioned by weeks that begin on Monday in UTC; see rag.runs';
COMMENT ON TABLE rag._runs_other IS 'internal: runs of weeks without a partition';
COMMENT ON TABLE rag._steps IS 'internal: steps of runs, partitioned by the same weeks; see rag.steps';
COMMENT ON TABLE rag._steps_other IS 'internal: steps of weeks without a partition';
COMMENT ON TABLE rag._log_days IS
'internal: the last ids given when the coordinator first ran on a day (UTC): rows older than rag.log_retention have these or lower ids';
COMMENT ON INDEX rag._steps_other_run IS 'internal: the steps of a run';
COMMENT ON INDEX rag._runs_other_started IS 'internal: rows that belong to a week''s partition, or are too old';
COMMENT ON INDEX rag._steps_other_started IS 'internal: rows that belong to a week''s partition, or are too old';
COMMENT ON INDEX rag._runs_other_ended IS 'internal: ended runs that are not in the reports yet';
COMMENT ON INDEX rag._runs_other_imported IS 'internal: runs that rag.import_log has written, by the digests of their steps';
COMMENT ON INDEX rag._steps_other_written IS 'internal: steps that are not in the reports yet';
COMMENT ON COLUMN rag._runs.owner IS 'role that began it, as in rag._owner';
COMMENT ON COLUMN rag._runs.caller_xid IS 'the caller''s transaction, if another one wrote the row; see rag.log_durability';
COMMENT ON COLUMN rag._runs.rolled_back IS 'whether caller_xid was rolled back, once that is known';
COMMENT ON COLUMN rag._runs.written IS 'transaction that wrote the row';
COMMENT ON TABLE rag._uncommitted_row IS 'internal: rows of the log that were written before their callers'' transactions ended';
COMMENT ON VIEW rag._rolled_back IS 'internal: callers'' transactions that were rolled back and whose rows do not say so yet';
COMMENT ON COLUMN rag._runs.counted IS 'whether it is in the sums of the reports';
COMMENT ON COLUMN rag._steps.owner IS 'owner of its run';
COMMENT ON COLUMN rag._steps.agent IS 'agent of its run';
COMMENT ON COLUMN rag._steps.caller_xid IS 'the caller''s transaction, if another one wrote the row; see rag.log_durability';
COMMENT ON COLUMN rag._steps.rolled_back IS 'whether caller_xid was rolled back, once that is known';
COMMENT ON COLUMN rag._steps.written IS 'transaction that wrote the row';

-- A security barrier, so that functions in a reader's query do not see other roles' rows.
CREATE VIEW rag.runs WITH (security_barrier) AS
SELECT id,
       owner,
       agent,
       session,
       job,
       status,
       input,
       output,
       error,
       sqlstate,
       started,
       finished,
       coalesce(rolled_back, caller_xid IN (SELECT caller_xid FROM rag._rolled_back), false) AS rolled_back,
       trace_id,
       parent_span_id,
       attributes
FROM rag._runs
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

CREATE VIEW rag.steps WITH (security_barrier) AS
SELECT id,
       run_id,
       number,
       parent_id,
       owner,
       agent,
       kind,
       name,
       input,
       output,
       model,
       input_tokens,
       output_tokens,
       cost,
       started,
       duration_ms,
       status,
       error,
       sqlstate,
       coalesce(rolled_back, caller_xid IN (SELECT caller_xid FROM rag._rolled_back), false) AS rolled_back,
       attributes
FROM rag._steps
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.runs, rag.steps TO PUBLIC;

COMMENT ON VIEW rag.runs IS
'the current role''s runs of agents; members of rag_auditor and superusers see all';
COMMENT ON COLUMN rag.runs.owner IS 'role that began it, by its original name';
COMMENT ON COLUMN rag.runs.agent IS 'name of the agent';
COMMENT ON COLUMN rag.runs.session IS 'conversation that it belongs to';
COMMENT ON COLUMN rag.runs.job IS 'job that executes it';
COMMENT ON COLUMN rag.runs.status IS 'running, waiting, done, failed or cancelled; the last end counts';
COMMENT ON COLUMN rag.runs.sqlstate IS 'SQLSTATE of the error that ended it, if it was the database''s';
COMMENT ON COLUMN rag.runs.rolled_back IS 'whether the transaction that began it was rolled back, which an autonomous run survives';
COMMENT ON COLUMN rag.runs.trace_id IS 'the application''s trace, from traceparent';
COMMENT ON COLUMN rag.runs.parent_span_id IS 'the application''s span that it is a child of, from traceparent';
COMMENT ON VIEW rag.steps IS
'steps of the current role''s runs; members of rag_auditor and superusers see all';
COMMENT ON COLUMN rag.steps.number IS 'order in which one session logged the steps';
COMMENT ON COLUMN rag.steps.parent_id IS 'step that it is a part of';
COMMENT ON COLUMN rag.steps.owner IS 'owner of its run';
COMMENT ON COLUMN rag.steps.agent IS 'agent of its run';
COMMENT ON COLUMN rag.steps.kind IS 'message, model, tool, retrieval, error or custom';
COMMENT ON COLUMN rag.steps.name IS 'name of the tool, the collection or the function';
COMMENT ON COLUMN rag.steps.cost IS 'in the currency of the prices';
COMMENT ON COLUMN rag.steps.status IS 'ok, error, running, waiting, approved, rejected or cancelled';
COMMENT ON COLUMN rag.steps.sqlstate IS 'SQLSTATE of the error, if it was the database''s';
COMMENT ON COLUMN rag.steps.rolled_back IS 'whether the transaction that logged it was rolled back, which an autonomous step survives';

COMMENT ON FUNCTION rag.start_run(text, jsonb, bigint, text, jsonb, timestamp with time zone, boolean) IS
'begin a run of an agent, which becomes the session''s current run; returns its number';
COMMENT ON FUNCTION rag.log_step(bigint, text, text, jsonb, jsonb, bigint, text, bigint, bigint, double precision, timestamp with time zone, double precision, text, text, jsonb) IS
'add a step to a run of the current role; returns its number';
COMMENT ON FUNCTION rag.log_steps(bigint, jsonb) IS
'add several steps to a run of the current role, all or none; returns their numbers';
COMMENT ON FUNCTION rag.finish_run(bigint, jsonb, text, text, timestamp with time zone) IS
'end a run of the current role, now or at a given time';

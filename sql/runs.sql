-- The log of agents: runs, and their steps. See rag.start_run and rag.log_step.

-- Not identity columns: the numbers are taken before a row is made, which another process may write.
CREATE SEQUENCE rag._run_id;
CREATE SEQUENCE rag._step_id;

-- Both are partitioned by weeks, which the database's worker makes ahead; the default partition takes what has no week. The
-- keys are the partitions' own: a dump brings the weeks, and where the parent has a key, ATTACH PARTITION would make the one
-- that the dump is about to make.
-- Read through views: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Whom a name of an owner stands for is in rag._owner. No foreign keys: a step may be there before its run.
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
-- What reports have in their sums goes by these.
CREATE INDEX _runs_other_ended ON rag._runs_other (id) WHERE NOT counted AND finished IS NOT NULL;
CREATE INDEX _steps_other_written ON rag._steps_other (written, id);

-- The last numbers of days: how long a row has been here, whenever its step was taken.
CREATE TABLE rag._log_days (
  day date PRIMARY KEY,
  run_id bigint NOT NULL,
  step_id bigint NOT NULL
);

-- Rows that were written before their callers' transactions had ended: what has become of these is written down once they have.
-- A dump carries it, since it was made before that; the numbers of transactions are those of the server that is named. Its name
-- comes after those of the tables that have the rows, so that a dump brings it after them: a worker that finds no row forgets it.
CREATE TABLE rag._uncommitted_row (
  caller_xid bigint NOT NULL,
  is_run boolean NOT NULL,
  id bigint NOT NULL,
  started timestamptz NOT NULL,
  server uuid NOT NULL
);

-- Where a publication for all tables has it, rows of a table without a key can be changed only so.
ALTER TABLE rag._uncommitted_row REPLICA IDENTITY FULL;

-- Transactions that were rolled back, while this is not written down yet.
CREATE VIEW rag._rolled_back AS
SELECT u.caller_xid
FROM (SELECT DISTINCT caller_xid, server FROM rag._uncommitted_row) u CROSS JOIN rag._server s
WHERE CASE WHEN u.server <> s.server THEN true
           WHEN u.caller_xid::text::xid8 < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
             THEN pg_catalog.pg_xact_status(u.caller_xid::text::xid8) = 'aborted'
           ELSE false END;

-- Weeks are no members of the extension: dumps have them with their rows.
SELECT pg_catalog.pg_extension_config_dump('rag._runs_other', '');
SELECT pg_catalog.pg_extension_config_dump('rag._steps_other', '');
SELECT pg_catalog.pg_extension_config_dump('rag._log_days', '');
SELECT pg_catalog.pg_extension_config_dump('rag._uncommitted_row', '');
SELECT pg_catalog.pg_extension_config_dump('rag._run_id', '');
SELECT pg_catalog.pg_extension_config_dump('rag._step_id', '');

COMMENT ON SEQUENCE rag._run_id IS 'internal: numbers of runs';
COMMENT ON SEQUENCE rag._step_id IS 'internal: numbers of steps';
COMMENT ON TABLE rag._runs IS 'internal: runs of agents by weeks, which begin on Mondays in UTC; see rag.runs';
COMMENT ON TABLE rag._runs_other IS 'internal: runs of weeks that have no partition';
COMMENT ON TABLE rag._steps IS 'internal: steps of runs, by weeks as these; see rag.steps';
COMMENT ON TABLE rag._steps_other IS 'internal: steps of weeks that have no partition';
COMMENT ON TABLE rag._log_days IS
'internal: the numbers that were given last when the coordinator first looked on a day (UTC): what is older than rag.log_retention has these or lower ones';
COMMENT ON INDEX rag._steps_other_run IS 'internal: the steps of a run';
COMMENT ON INDEX rag._runs_other_started IS 'internal: what belongs into a week, or is too old';
COMMENT ON INDEX rag._steps_other_started IS 'internal: what belongs into a week, or is too old';
COMMENT ON INDEX rag._runs_other_ended IS 'internal: runs that have ended and that reports do not have yet';
COMMENT ON INDEX rag._steps_other_written IS 'internal: steps that reports do not have yet';
COMMENT ON COLUMN rag._runs.owner IS 'the role that began it, by the name that it had';
COMMENT ON COLUMN rag._runs.caller_xid IS 'the caller''s transaction, where the row is not of that; see rag.log_durability';
COMMENT ON COLUMN rag._runs.rolled_back IS 'what became of caller_xid, once that is known';
COMMENT ON COLUMN rag._runs.written IS 'the transaction that the row is of';
COMMENT ON TABLE rag._uncommitted_row IS 'internal: rows of the log whose callers'' transactions had not ended when they were written';
COMMENT ON VIEW rag._rolled_back IS 'internal: transactions of callers that were rolled back, while their rows do not say so yet';
COMMENT ON COLUMN rag._runs.counted IS 'whether reports have it in their sums';
COMMENT ON COLUMN rag._steps.owner IS 'whose run it is a step of';
COMMENT ON COLUMN rag._steps.agent IS 'what the run calls itself';
COMMENT ON COLUMN rag._steps.caller_xid IS 'the caller''s transaction, where the row is not of that; see rag.log_durability';
COMMENT ON COLUMN rag._steps.rolled_back IS 'what became of caller_xid, once that is known';
COMMENT ON COLUMN rag._steps.written IS 'the transaction that the row is of';

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see.
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
'runs of agents: one''s own, and everybody''s for members of rag_auditor and superusers';
COMMENT ON COLUMN rag.runs.owner IS 'the role that began it, by the name that it had';
COMMENT ON COLUMN rag.runs.agent IS 'what runs, as it calls itself';
COMMENT ON COLUMN rag.runs.session IS 'the conversation that it is a part of';
COMMENT ON COLUMN rag.runs.job IS 'the job that does it';
COMMENT ON COLUMN rag.runs.status IS 'running, waiting, done, failed or cancelled, as its last end says';
COMMENT ON COLUMN rag.runs.sqlstate IS 'of the error that ended it, where it was one of the database';
COMMENT ON COLUMN rag.runs.rolled_back IS 'whether the transaction in which it was begun was rolled back, and the run, being autonomous, is still here';
COMMENT ON COLUMN rag.runs.trace_id IS 'the application''s trace, from traceparent';
COMMENT ON COLUMN rag.runs.parent_span_id IS 'the application''s span that it is a part of, from traceparent';
COMMENT ON VIEW rag.steps IS
'steps of the runs of agents: one''s own, and everybody''s for members of rag_auditor and superusers. Those of a run are in the order of (started, number, id)';
COMMENT ON COLUMN rag.steps.number IS 'the order in which one session has logged them';
COMMENT ON COLUMN rag.steps.parent_id IS 'the step that it is a part of';
COMMENT ON COLUMN rag.steps.owner IS 'whose run it is a step of';
COMMENT ON COLUMN rag.steps.agent IS 'what the run calls itself';
COMMENT ON COLUMN rag.steps.kind IS 'message, model, tool, retrieval, error or custom';
COMMENT ON COLUMN rag.steps.name IS 'of the tool, the collection or the function';
COMMENT ON COLUMN rag.steps.cost IS 'in the currency of the prices';
COMMENT ON COLUMN rag.steps.status IS 'ok, error, running, waiting, approved, rejected or cancelled';
COMMENT ON COLUMN rag.steps.sqlstate IS 'of the error, where it was one of the database';
COMMENT ON COLUMN rag.steps.rolled_back IS 'whether the transaction in which it was logged was rolled back, and the step, being autonomous, is still here';

COMMENT ON FUNCTION rag.start_run(text, jsonb, bigint, text, jsonb, timestamp with time zone, boolean) IS
'begin a run of an agent, and give its number; it becomes the session''s current run, see rag.run, unless current is false. traceparent is the application''s span, as W3C''s Trace Context writes it; session the conversation';
COMMENT ON FUNCTION rag.log_step(bigint, text, text, jsonb, jsonb, bigint, text, bigint, bigint, double precision, timestamp with time zone, double precision, text, text, jsonb) IS
'add a step to a run of one''s own, and give its number. kind is message, model, tool, retrieval, error or custom; parent the step that it is a part of; where there is no started it began duration_ms ago';
COMMENT ON FUNCTION rag.log_steps(bigint, jsonb) IS
'add steps to a run of one''s own, all or none, and give their numbers: an array of objects with the arguments of rag.log_step';
COMMENT ON FUNCTION rag.finish_run(bigint, jsonb, text, text) IS
'end a run of one''s own: status is done, failed, cancelled, waiting or, for one that goes on, running; the last end counts';

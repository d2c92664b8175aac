-- From 0.3.0 to 0.4.0: the log of agents, tools, and agents that run in the database.

\echo Use "ALTER EXTENSION ragstone UPDATE TO '0.4.0'" to load this file. \quit

CREATE FUNCTION rag._error_pattern(
  error text
) RETURNS text
IMMUTABLE STRICT PARALLEL SAFE COST 20
LANGUAGE c AS 'MODULE_PATHNAME', '_error_pattern_wrapper';

CREATE FUNCTION rag._histogram_add(
  state bytea,
  duration_ms double precision
) RETURNS bytea
IMMUTABLE PARALLEL SAFE COST 10
LANGUAGE c AS 'MODULE_PATHNAME', '_histogram_add_wrapper';

CREATE FUNCTION rag._histogram_merge(
  left bytea,
  right bytea
) RETURNS bytea
IMMUTABLE PARALLEL SAFE COST 20
LANGUAGE c AS 'MODULE_PATHNAME', '_histogram_merge_wrapper';

CREATE FUNCTION rag._keep_local() RETURNS event_trigger LANGUAGE c AS 'MODULE_PATHNAME', '_keep_local_wrapper';

CREATE FUNCTION rag._quantile(
  durations bytea,
  part double precision
) RETURNS double precision
IMMUTABLE STRICT PARALLEL SAFE COST 10
LANGUAGE c AS 'MODULE_PATHNAME', '_quantile_wrapper';

CREATE FUNCTION rag._semconv_url() RETURNS TEXT
IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', '_semconv_url_wrapper';

CREATE FUNCTION rag._span_attributes(
  "row" jsonb
) RETURNS jsonb
IMMUTABLE STRICT PARALLEL SAFE COST 100
LANGUAGE c AS 'MODULE_PATHNAME', '_span_attributes_wrapper';

CREATE FUNCTION rag._span_name(
  kind text,
  name text,
  model text
) RETURNS text
IMMUTABLE PARALLEL SAFE COST 10
LANGUAGE c AS 'MODULE_PATHNAME', '_span_name_wrapper';

CREATE FUNCTION rag._stat_log() RETURNS TABLE (
  posted bigint,
  waiting bigint,
  waiting_bytes bigint,
  lost bigint
)
STRICT VOLATILE PARALLEL RESTRICTED
LANGUAGE c AS 'MODULE_PATHNAME', '_stat_log_wrapper';

-- What is on its way into the log.

CREATE VIEW rag.stat_log AS SELECT * FROM rag._stat_log();

GRANT SELECT ON rag.stat_log TO PUBLIC;

ALTER FUNCTION rag._stat_log() ROWS 1;

COMMENT ON VIEW rag.stat_log IS
'what was posted to this database''s log with rag.log_durability = autonomous since the engine''s start; no row while it does not run';
COMMENT ON COLUMN rag.stat_log.posted IS 'runs, steps and ends of runs';
COMMENT ON COLUMN rag.stat_log.waiting IS 'of these, not written by the database''s worker yet';
COMMENT ON COLUMN rag.stat_log.waiting_bytes IS 'what they take of the room that there is: 64 MB, and 200,000 of them';
COMMENT ON COLUMN rag.stat_log.lost IS 'of these, lost, since there was no room for as long as others wait';
COMMENT ON FUNCTION rag._stat_log() IS 'internal: row of rag.stat_log';

CREATE FUNCTION rag._tools() RETURNS TABLE (
  name text,
  function text,
  collection text,
  description text,
  schema jsonb,
  timeout_ms INT,
  max_rows INT,
  max_bytes INT,
  writes bool,
  requires_approval bool,
  owner text,
  usable bool,
  reason text
)
STRICT STABLE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', '_tools_wrapper';

CREATE FUNCTION rag._version() RETURNS TEXT
IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', '_version_wrapper';

CREATE FUNCTION rag.approve(
  step bigint,
  comment text DEFAULT NULL
) RETURNS bigint
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'approve_wrapper';

CREATE FUNCTION rag.call_tool(
  name text,
  arguments jsonb DEFAULT '{}'
) RETURNS TABLE (
  content text,
  is_error bool,
  sqlstate text,
  rows bigint,
  truncated bool
)
VOLATILE PARALLEL UNSAFE COST 10000
LANGUAGE c AS 'MODULE_PATHNAME', 'call_tool_wrapper';

CREATE FUNCTION rag.create_agent(
  name text,
  instructions text,
  model text DEFAULT NULL,
  tools text[] DEFAULT '{}',
  max_steps INT DEFAULT 10,
  token_budget bigint DEFAULT NULL,
  timeout interval DEFAULT '5 minutes',
  output_schema jsonb DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  replace bool DEFAULT false
) RETURNS void
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'create_agent_wrapper';

CREATE EVENT TRIGGER ragstone_keep_local ON ddl_command_end
  WHEN TAG IN ('ALTER SERVER', 'CREATE USER MAPPING', 'ALTER USER MAPPING')
  EXECUTE FUNCTION rag._keep_local();

COMMENT ON EVENT TRIGGER ragstone_keep_local IS 'keeps the server local without options and keys';

COMMENT ON FUNCTION rag._keep_local() IS 'internal: event trigger that refuses options and keys of the server local';

-- Postgres itself calls it, and asks nobody's rights for that.
REVOKE EXECUTE ON FUNCTION rag._validate_options(text[], oid), rag._keep_local() FROM PUBLIC;

CREATE FUNCTION rag.create_search_tool(
  collection text,
  name text DEFAULT NULL,
  description text DEFAULT NULL,
  k INT DEFAULT 5,
  timeout_ms INT DEFAULT 30000,
  max_bytes INT DEFAULT 65536,
  requires_approval bool DEFAULT false,
  replace bool DEFAULT false
) RETURNS text
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'create_search_tool_wrapper';

CREATE FUNCTION rag.create_tool(
  function regprocedure,
  name text DEFAULT NULL,
  description text DEFAULT NULL,
  timeout_ms INT DEFAULT 5000,
  max_rows INT DEFAULT 100,
  max_bytes INT DEFAULT 65536,
  writes bool DEFAULT false,
  requires_approval bool DEFAULT false,
  replace bool DEFAULT false
) RETURNS text
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'create_tool_wrapper';

CREATE FUNCTION rag.drop_agent(
  name text
) RETURNS void
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'drop_agent_wrapper';

CREATE FUNCTION rag.drop_tool(
  name text
) RETURNS void
STRICT VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'drop_tool_wrapper';

CREATE FUNCTION rag.finish_run(
  run bigint,
  output jsonb DEFAULT NULL,
  status text DEFAULT 'done',
  error text DEFAULT NULL
) RETURNS void
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'finish_run_wrapper';

CREATE FUNCTION rag.import_log(
  content text,
  format text DEFAULT 'auto',
  agent text DEFAULT NULL,
  attributes jsonb DEFAULT NULL
) RETURNS TABLE (
  run_id bigint,
  run text,
  run_agent text,
  steps INT,
  unknown INT
)
VOLATILE PARALLEL UNSAFE COST 10000
LANGUAGE c AS 'MODULE_PATHNAME', 'import_log_wrapper';

CREATE FUNCTION rag.import_log(
  content bytea,
  format text DEFAULT 'auto',
  agent text DEFAULT NULL,
  attributes jsonb DEFAULT NULL
) RETURNS TABLE (
  run_id bigint,
  run text,
  run_agent text,
  steps INT,
  unknown INT
)
VOLATILE PARALLEL UNSAFE  COST 10000
LANGUAGE c AS 'MODULE_PATHNAME', 'import_log_bytes_wrapper';

CREATE FUNCTION rag.log_step(
  run bigint,
  kind text,
  name text DEFAULT NULL,
  input jsonb DEFAULT NULL,
  output jsonb DEFAULT NULL,
  parent bigint DEFAULT NULL,
  model text DEFAULT NULL,
  input_tokens bigint DEFAULT NULL,
  output_tokens bigint DEFAULT NULL,
  cost double precision DEFAULT NULL,
  started timestamp with time zone DEFAULT NULL,
  duration_ms double precision DEFAULT NULL,
  status text DEFAULT 'ok',
  error text DEFAULT NULL,
  attributes jsonb DEFAULT NULL
) RETURNS bigint
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'log_step_wrapper';

CREATE FUNCTION rag.log_steps(
  run bigint,
  steps jsonb
) RETURNS bigint[]
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'log_steps_wrapper';

CREATE FUNCTION rag.reject(
  step bigint,
  reason text
) RETURNS bigint
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'reject_wrapper';

CREATE FUNCTION rag.resume_run(
  run bigint
) RETURNS bigint
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'resume_run_wrapper';

CREATE FUNCTION rag.run_agent(
  agent text,
  input text,
  session bigint DEFAULT NULL
) RETURNS TABLE (
  run_id bigint,
  answer text,
  status text,
  steps INT,
  input_tokens bigint,
  output_tokens bigint,
  cost double precision,
  error text
)
VOLATILE PARALLEL UNSAFE COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'run_agent_wrapper';

CREATE FUNCTION rag.start_run(
  agent text,
  input jsonb DEFAULT NULL,
  session bigint DEFAULT NULL,
  traceparent text DEFAULT NULL,
  attributes jsonb DEFAULT NULL,
  started timestamp with time zone DEFAULT NULL
) RETURNS bigint
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'start_run_wrapper';

-- The log of agents: runs, and their steps. See rag.start_run and rag.log_step.

-- Not identity columns: the numbers are taken before a row is made, which another process may write.
CREATE SEQUENCE rag._run_id;
CREATE SEQUENCE rag._step_id;

-- Both are partitioned by weeks, which the database's worker makes ahead; the default partition takes what has no week. The
-- keys are the partitions' own: a dump brings the weeks, and where the parent has a key, ATTACH PARTITION would make the one
-- that the dump is about to make.
-- Read through views: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Roles go by name, since no number of theirs outlives a restore. No foreign keys: a step may be there before its run.
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
-- A dump carries it, since it was made before that; the numbers of transactions are those of the server that is named.
CREATE TABLE rag._unsettled (
  caller_xid bigint NOT NULL,
  is_run boolean NOT NULL,
  id bigint NOT NULL,
  started timestamptz NOT NULL,
  server uuid NOT NULL
);

-- One row, which no dump carries: another one in each server and database, pg_upgrade excepted.
CREATE TABLE rag._log_state (
  server uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid()
);

INSERT INTO rag._log_state DEFAULT VALUES;

-- Transactions that were rolled back, while this is not written down yet.
CREATE VIEW rag._rolled_back AS
SELECT u.caller_xid
FROM (SELECT DISTINCT caller_xid, server FROM rag._unsettled) u CROSS JOIN rag._log_state s
WHERE CASE WHEN u.server <> s.server THEN true
           WHEN u.caller_xid::text::xid8 < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
             THEN pg_catalog.pg_xact_status(u.caller_xid::text::xid8) = 'aborted'
           ELSE false END;

-- Weeks are no members of the extension: dumps have them with their rows.
SELECT pg_catalog.pg_extension_config_dump('rag._runs_other', '');
SELECT pg_catalog.pg_extension_config_dump('rag._steps_other', '');
SELECT pg_catalog.pg_extension_config_dump('rag._log_days', '');
SELECT pg_catalog.pg_extension_config_dump('rag._unsettled', '');
SELECT pg_catalog.pg_extension_config_dump('rag._run_id', '');
SELECT pg_catalog.pg_extension_config_dump('rag._step_id', '');

-- pg_dump of PostgreSQL 14 follows a null pointer at a configuration table that is a partition, unless it finds privileges of it to
-- dump: some that are not what the extension gave.
DO $$
BEGIN
  IF pg_catalog.current_setting('server_version_num')::integer < 150000 THEN
    GRANT SELECT ON rag._runs_other, rag._steps_other TO rag_auditor;
    DELETE FROM pg_catalog.pg_init_privs
    WHERE classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND objoid IN ('rag._runs_other'::pg_catalog.regclass, 'rag._steps_other'::pg_catalog.regclass);
  END IF;
END $$;

COMMENT ON SEQUENCE rag._run_id IS 'internal: numbers of runs';
COMMENT ON SEQUENCE rag._step_id IS 'internal: numbers of steps';
COMMENT ON TABLE rag._runs IS 'internal: runs of agents by weeks, which begin on Mondays in UTC; see rag.runs';
COMMENT ON TABLE rag._runs_other IS 'internal: runs of weeks that have no partition';
COMMENT ON TABLE rag._steps IS 'internal: steps of runs, by weeks as these; see rag.steps';
COMMENT ON TABLE rag._steps_other IS 'internal: steps of weeks that have no partition';
COMMENT ON TABLE rag._log_days IS
'internal: the numbers that were given last when the worker first looked on a day (UTC): what is older than rag.log_retention has these or lower ones';
COMMENT ON INDEX rag._steps_other_run IS 'internal: the steps of a run';
COMMENT ON INDEX rag._runs_other_started IS 'internal: what belongs into a week, or is too old';
COMMENT ON INDEX rag._steps_other_started IS 'internal: what belongs into a week, or is too old';
COMMENT ON INDEX rag._runs_other_ended IS 'internal: runs that have ended and that reports do not have yet';
COMMENT ON INDEX rag._steps_other_written IS 'internal: steps that reports do not have yet';
COMMENT ON COLUMN rag._runs.owner IS 'the role that began it, by the name that it had';
COMMENT ON COLUMN rag._runs.caller_xid IS 'the caller''s transaction, where the row is not of that; see rag.log_durability';
COMMENT ON COLUMN rag._runs.rolled_back IS 'what became of caller_xid, once that is known';
COMMENT ON COLUMN rag._runs.written IS 'the transaction that the row is of';
COMMENT ON TABLE rag._unsettled IS 'internal: rows of the log whose callers'' transactions had not ended when they were written';
COMMENT ON TABLE rag._log_state IS 'internal: whose the numbers of transactions in the log are';
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
WHERE owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors));

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
WHERE owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors));

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

COMMENT ON FUNCTION rag.start_run(text, jsonb, bigint, text, jsonb, timestamp with time zone) IS
'begin a run of an agent, and give its number; it becomes the session''s current run, see rag.run. traceparent is the application''s span, as W3C''s Trace Context writes it; session the conversation';
COMMENT ON FUNCTION rag.log_step(bigint, text, text, jsonb, jsonb, bigint, text, bigint, bigint, double precision, timestamp with time zone, double precision, text, text, jsonb) IS
'add a step to a run of one''s own, and give its number. kind is message, model, tool, retrieval, error or custom; parent the step that it is a part of; where there is no started it began duration_ms ago';
COMMENT ON FUNCTION rag.log_steps(bigint, jsonb) IS
'add steps to a run of one''s own, all or none, and give their numbers: an array of objects with the arguments of rag.log_step';
COMMENT ON FUNCTION rag.finish_run(bigint, jsonb, text, text) IS
'end a run of one''s own: status is done, failed, cancelled, waiting or, for one that goes on, running; the last end counts';

-- What agents did, in sums: the database's worker folds runs and steps into these tables soon after they are committed, and
-- the views read nothing else, so that a report over millions of steps takes milliseconds. See src/runs/fold.rs.

CREATE AGGREGATE rag._histogram (double precision) (
  SFUNC = rag._histogram_add, STYPE = bytea, COMBINEFUNC = rag._histogram_merge, PARALLEL = SAFE
);

CREATE AGGREGATE rag._histogram_sum (bytea) (
  SFUNC = rag._histogram_merge, STYPE = bytea, COMBINEFUNC = rag._histogram_merge, PARALLEL = SAFE
);

-- Days are those of `started` in UTC. Texts of keys are cut to 150 characters, and nothing is an empty text, so that each row
-- has a key that an index takes.
CREATE TABLE rag._run_day (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  status text NOT NULL,
  runs bigint NOT NULL,
  durations bytea,
  PRIMARY KEY (day, owner, agent, status)
);

CREATE TABLE rag._step_day (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  model text NOT NULL,
  status text NOT NULL,
  steps bigint NOT NULL,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  cost double precision NOT NULL,
  last_started timestamptz NOT NULL,
  durations bytea,
  PRIMARY KEY (day, owner, agent, kind, name, model, status)
);

CREATE TABLE rag._error_day (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  sqlstate text NOT NULL,
  pattern text NOT NULL,
  errors bigint NOT NULL,
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  error text NOT NULL,
  run_id bigint NOT NULL,
  step_id bigint,
  PRIMARY KEY (day, owner, agent, kind, name, sqlstate, pattern)
);

CREATE TABLE rag._slow_step (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL,
  id bigint NOT NULL,
  run_id bigint NOT NULL,
  name text NOT NULL,
  model text NOT NULL,
  started timestamptz NOT NULL,
  duration_ms double precision NOT NULL,
  status text NOT NULL,
  PRIMARY KEY (day, owner, agent, kind, id)
);

-- How far the folding is: one row. Its name comes after those of the tables that it is about, so that a dump brings it after
-- their rows. A row of another server says that these have come from there: numbers of transactions mean nothing here then.
CREATE TABLE rag._tally (
  server uuid NOT NULL,
  written bigint NOT NULL,
  step_id bigint NOT NULL,
  folded timestamptz NOT NULL,
  anew_before bigint,
  kept date[],
  foreign_from bigint NOT NULL,
  foreign_step bigint NOT NULL
);

SELECT pg_catalog.pg_extension_config_dump('rag._run_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._step_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._error_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._slow_step', '');
SELECT pg_catalog.pg_extension_config_dump('rag._tally', '');

COMMENT ON AGGREGATE rag._histogram (double precision) IS 'internal: durations in milliseconds, counted in buckets';
COMMENT ON AGGREGATE rag._histogram_sum (bytea) IS 'internal: histograms of rag._histogram in one';
COMMENT ON FUNCTION rag._histogram_add(bytea, double precision) IS 'internal: of rag._histogram';
COMMENT ON FUNCTION rag._histogram_merge(bytea, bytea) IS 'internal: of rag._histogram_sum';
COMMENT ON FUNCTION rag._quantile(bytea, double precision) IS 'internal: the duration of which this part of all is not longer, within 2 %';
COMMENT ON FUNCTION rag._error_pattern(text) IS 'internal: what texts of the same failure have in common';
COMMENT ON TABLE rag._run_day IS 'internal: runs that have ended, by the day (UTC) on which they began';
COMMENT ON COLUMN rag._run_day.durations IS 'rag._histogram of milliseconds from begin to end';
COMMENT ON TABLE rag._step_day IS 'internal: steps, by the day (UTC) on which they began';
COMMENT ON COLUMN rag._step_day.status IS 'that of the step; waiting also for those that were approved or rejected later';
COMMENT ON COLUMN rag._step_day.durations IS 'rag._histogram of milliseconds';
COMMENT ON TABLE rag._error_day IS 'internal: errors of steps and runs by what their texts have in common; see rag.error_groups';
COMMENT ON COLUMN rag._error_day.kind IS 'of the step; run for errors that ended a run';
COMMENT ON TABLE rag._slow_step IS 'internal: the 20 longest steps of each day, owner, agent and kind';
COMMENT ON TABLE rag._tally IS 'internal: how far steps are folded into reports; see rag.stat_reports';
COMMENT ON COLUMN rag._tally.server IS 'as rag._log_state has it';
COMMENT ON COLUMN rag._tally.written IS 'with step_id, the last step that is folded, in the order of both';
COMMENT ON COLUMN rag._tally.anew_before IS 'where sums are computed anew: of the steps of transactions before this one, and of foreign ones';
COMMENT ON COLUMN rag._tally.kept IS 'days of which more is in the sums than in the tables: they are not computed anew';
COMMENT ON COLUMN rag._tally.foreign_from IS 'rows of transactions from this one on that were here when it had not begun are of another server';
COMMENT ON COLUMN rag._tally.foreign_step IS 'the last of these';

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see. The order within is there so that
-- a LIMIT reads no more than it gives.
CREATE VIEW rag.run_summary WITH (security_barrier) AS
SELECT r.id,
       r.agent,
       r.owner,
       r.status,
       r.started,
       r.finished,
       extract(epoch FROM r.finished - r.started)::double precision * 1000 AS duration_ms,
       s.steps,
       s.model_calls,
       s.tool_calls,
       s.errors,
       s.input_tokens,
       s.output_tokens,
       s.cost,
       coalesce(r.error, s.error) AS last_error,
       coalesce(r.rolled_back, r.caller_xid IN (SELECT caller_xid FROM rag._rolled_back), false) AS rolled_back,
       r.session,
       r.job
FROM rag._runs r
LEFT JOIN LATERAL (
  SELECT pg_catalog.count(*) AS steps,
         pg_catalog.count(*) FILTER (WHERE kind = 'model') AS model_calls,
         pg_catalog.count(*) FILTER (WHERE kind = 'tool' AND status NOT IN ('waiting', 'approved', 'rejected')) AS tool_calls,
         pg_catalog.count(*) FILTER (WHERE status = 'error') AS errors,
         coalesce(pg_catalog.sum(input_tokens), 0)::bigint AS input_tokens,
         coalesce(pg_catalog.sum(output_tokens), 0)::bigint AS output_tokens,
         coalesce(pg_catalog.sum(cost), 0) AS cost,
         (pg_catalog.array_agg(error ORDER BY started DESC, number DESC, id DESC) FILTER (WHERE status = 'error'))[1] AS error
  FROM rag._steps
  WHERE run_id = r.id AND owner = r.owner) s ON true
WHERE r.owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors))
ORDER BY r.id DESC;

CREATE VIEW rag.agent_daily WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), day, owner, agent), 0) AS id,
       day,
       agent,
       owner,
       coalesce(pg_catalog.sum(runs), 0)::bigint AS runs,
       coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'done'), 0)::bigint AS done,
       coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
       coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'cancelled'), 0)::bigint AS cancelled,
       (coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'done'), 0) / nullif(pg_catalog.sum(runs), 0))::double precision AS success_rate,
       rag._quantile(rag._histogram_sum(durations), 0.5) AS p50_ms,
       rag._quantile(rag._histogram_sum(durations), 0.95) AS p95_ms,
       coalesce(pg_catalog.sum(steps), 0)::bigint AS steps,
       coalesce(pg_catalog.sum(steps) FILTER (WHERE kind = 'model'), 0)::bigint AS model_calls,
       coalesce(pg_catalog.sum(steps) FILTER (WHERE kind = 'tool' AND status <> 'waiting'), 0)::bigint AS tool_calls,
       coalesce(pg_catalog.sum(steps) FILTER (WHERE status = 'error'), 0)::bigint AS errors,
       coalesce(pg_catalog.sum(input_tokens), 0)::bigint AS input_tokens,
       coalesce(pg_catalog.sum(output_tokens), 0)::bigint AS output_tokens,
       coalesce(pg_catalog.sum(cost), 0) AS cost
FROM (
  SELECT day, owner, agent, status, NULL AS kind, runs, durations, NULL::bigint AS steps, NULL::bigint AS input_tokens,
         NULL::bigint AS output_tokens, NULL::double precision AS cost
  FROM rag._run_day
  UNION ALL
  SELECT day, owner, agent, status, kind, NULL, NULL, steps, input_tokens, output_tokens, cost
  FROM rag._step_day) d
WHERE owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors))
GROUP BY day, owner, agent
ORDER BY day DESC, agent, owner;

CREATE VIEW rag.slowest_steps WITH (security_barrier) AS
SELECT id,
       run_id,
       agent,
       owner,
       kind,
       nullif(name, '') AS name,
       nullif(model, '') AS model,
       started,
       duration_ms,
       status
FROM rag._slow_step
WHERE owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors))
ORDER BY duration_ms DESC, id;

CREATE VIEW rag.error_groups WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), owner, agent, kind, name, sqlstate, pattern), 0) AS id,
       agent,
       owner,
       kind,
       nullif(name, '') AS name,
       nullif(sqlstate, '') AS sqlstate,
       pattern AS error,
       pg_catalog.sum(errors)::bigint AS count,
       pg_catalog.min(first_seen) AS first_seen,
       pg_catalog.max(last_seen) AS last_seen,
       (pg_catalog.array_agg(error ORDER BY last_seen DESC))[1] AS example,
       (pg_catalog.array_agg(run_id ORDER BY last_seen DESC))[1] AS run_id,
       (pg_catalog.array_agg(step_id ORDER BY last_seen DESC))[1] AS step_id
FROM rag._error_day
WHERE owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors))
GROUP BY owner, agent, kind, name, sqlstate, pattern
ORDER BY pg_catalog.max(last_seen) DESC;

CREATE VIEW rag.tool_stats WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), owner, agent, name), 0) AS id,
       nullif(name, '') AS tool,
       agent,
       owner,
       pg_catalog.sum(steps)::bigint AS calls,
       coalesce(pg_catalog.sum(steps) FILTER (WHERE status = 'error'), 0)::bigint AS errors,
       (coalesce(pg_catalog.sum(steps) FILTER (WHERE status = 'error'), 0) / pg_catalog.sum(steps))::double precision AS error_rate,
       rag._quantile(rag._histogram_sum(durations), 0.5) AS p50_ms,
       rag._quantile(rag._histogram_sum(durations), 0.95) AS p95_ms,
       pg_catalog.max(last_started) AS last_used
FROM rag._step_day
WHERE kind = 'tool' AND status <> 'waiting'
  AND (owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors)))
GROUP BY owner, agent, name
ORDER BY name, agent, owner;

CREATE VIEW rag.stat_reports AS
SELECT t.folded AS folded_at,
       (SELECT pg_catalog.count(*) FROM (
          SELECT FROM rag._steps s
          WHERE (s.written, s.id) > (t.written, t.step_id)
            AND s.written < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint
            AND (s.written < t.foreign_from OR s.id > t.foreign_step OR s.xmin::text::bigint = s.written & 4294967295)
          LIMIT 100000) w) AS waiting,
       t.anew_before IS NOT NULL AS computed_anew,
       h.pid AS held_back_by,
       h.xact_start AS held_back_since
FROM rag._tally t
JOIN rag._log_state l ON l.server = t.server
LEFT JOIN LATERAL (
  SELECT a.pid, a.xact_start
  FROM pg_catalog.pg_stat_activity a
  WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
  ORDER BY pg_catalog.age(a.backend_xid) DESC
  LIMIT 1) h ON true;

GRANT SELECT ON rag.run_summary, rag.agent_daily, rag.slowest_steps, rag.error_groups, rag.tool_stats, rag.stat_reports TO PUBLIC;

COMMENT ON VIEW rag.run_summary IS
'a row for each run of rag.runs with the sums of its steps, the latest first: as of now. Filter by id, started or agent, or take the first ones: rows are summed up as they are read';
COMMENT ON COLUMN rag.run_summary.duration_ms IS 'from begin to end; NULL: it has not ended';
COMMENT ON COLUMN rag.run_summary.tool_calls IS 'without those that wait for an approval, or were rejected';
COMMENT ON COLUMN rag.run_summary.errors IS 'steps with status error';
COMMENT ON COLUMN rag.run_summary.last_error IS 'what ended the run, else the error of its last step that failed';
COMMENT ON COLUMN rag.run_summary.rolled_back IS 'see rag.runs';
COMMENT ON VIEW rag.agent_daily IS
'runs and steps of each day and agent, one''s own, and everybody''s for members of rag_auditor and superusers; within a second or two of their commit, see rag.stat_reports. Days outlive rag.log_retention';
COMMENT ON COLUMN rag.agent_daily.id IS 'of day, agent and owner';
COMMENT ON COLUMN rag.agent_daily.day IS 'on which runs and steps began, in UTC';
COMMENT ON COLUMN rag.agent_daily.runs IS 'that have ended. One that was gone on with counts as it ended the first time';
COMMENT ON COLUMN rag.agent_daily.success_rate IS 'part of the runs that are done, from 0 to 1';
COMMENT ON COLUMN rag.agent_daily.p50_ms IS 'median of the runs'' durations, within 2 %';
COMMENT ON COLUMN rag.agent_daily.p95_ms IS '95th percentile of the runs'' durations, within 2 %';
COMMENT ON COLUMN rag.agent_daily.steps IS 'also of runs that have not ended';
COMMENT ON COLUMN rag.agent_daily.errors IS 'steps with status error';
COMMENT ON VIEW rag.slowest_steps IS
'the steps that took longest, the longest first: of each day, owner, agent and kind the first 20, exactly; who sees what as in rag.steps, how fresh as rag.agent_daily';
COMMENT ON VIEW rag.error_groups IS
'errors of steps and runs with what their texts have in common, the latest first: # stands for words with digits, … for what is in quotation marks; who sees what as in rag.steps, how fresh as rag.agent_daily';
COMMENT ON COLUMN rag.error_groups.id IS 'of the group';
COMMENT ON COLUMN rag.error_groups.kind IS 'of the steps; run: errors that ended runs';
COMMENT ON COLUMN rag.error_groups.error IS 'what the texts have in common';
COMMENT ON COLUMN rag.error_groups.example IS 'the latest text, its first 500 characters';
COMMENT ON COLUMN rag.error_groups.run_id IS 'run of the latest';
COMMENT ON COLUMN rag.error_groups.step_id IS 'step of the latest';
COMMENT ON VIEW rag.tool_stats IS
'calls of each tool by each agent; who sees what as in rag.steps, how fresh as rag.agent_daily';
COMMENT ON COLUMN rag.tool_stats.id IS 'of tool, agent and owner';
COMMENT ON COLUMN rag.tool_stats.error_rate IS 'part of the calls that failed, from 0 to 1';
COMMENT ON COLUMN rag.tool_stats.p50_ms IS 'median of the calls'' durations, within 2 %';
COMMENT ON COLUMN rag.tool_stats.p95_ms IS '95th percentile of the calls'' durations, within 2 %';
COMMENT ON COLUMN rag.tool_stats.last_used IS 'begin of the last call';
COMMENT ON VIEW rag.stat_reports IS
'how fresh the reports are; no row before the first step was folded. A transaction that has written and has not ended, in any database, keeps steps of later ones out of the reports until it ends';
COMMENT ON COLUMN rag.stat_reports.folded_at IS 'when steps were last added';
COMMENT ON COLUMN rag.stat_reports.waiting IS 'steps that are committed and not in the reports; counted up to 100,000';
COMMENT ON COLUMN rag.stat_reports.computed_anew IS 'whether sums are computed anew from the steps that are there, after a restore';
COMMENT ON COLUMN rag.stat_reports.held_back_by IS 'process of the oldest transaction that has written, which steps may be waiting for; NULL also where you may not see it';

-- What is taken out of the log of agents before it is stored.

-- As they come with the extension: what is a secret by its very form.
CREATE TABLE rag._redaction_defaults (
  name text PRIMARY KEY,
  pattern text NOT NULL,
  replacement text NOT NULL DEFAULT '[redacted]',
  enabled boolean NOT NULL DEFAULT true
);

INSERT INTO rag._redaction_defaults (name, pattern) VALUES
  ('api key sk-', '(?-u:\b)sk-(?:(?:proj|svcacct|admin|ant|or)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,})'),
  ('aws access key', '(?-u:\b)(?:AKIA|ASIA)[0-9A-Z]{16}(?-u:\b)'),
  ('github token', '(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})'),
  ('google api key', '(?-u:\b)AIza[0-9A-Za-z_-]{35}'),
  ('groq api key', '(?-u:\b)gsk_[A-Za-z0-9]{40,}'),
  ('hugging face token', '(?-u:\b)hf_[A-Za-z0-9]{30,}'),
  ('json web token', '(?-u:\b)eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}'),
  ('private key', '-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\z)'),
  ('slack token', '(?-u:\b)xox[abeoprs]-[A-Za-z0-9-]{10,}'),
  ('stripe key', '(?-u:\b)(?:sk|rk)_live_[A-Za-z0-9]{16,}');
INSERT INTO rag._redaction_defaults (name, pattern, replacement) VALUES
  ('bearer token', '((?:Bearer|bearer|BEARER)[ ]+)[A-Za-z0-9._~+/-]{24,}=*', '${1}[redacted]'),
  ('password in a url', '(://[^\s/:@"]{0,100}:)[^\s/"]+@', '${1}[redacted]@');

CREATE TABLE rag.redactions (
  name text PRIMARY KEY,
  pattern text NOT NULL,
  replacement text NOT NULL DEFAULT '[redacted]',
  enabled boolean NOT NULL DEFAULT true
);

INSERT INTO rag.redactions SELECT name, pattern, replacement, enabled FROM rag._redaction_defaults;

CREATE FUNCTION rag._redactions_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'ragstone_redactions_changed';

CREATE TRIGGER check_pattern BEFORE INSERT OR UPDATE ON rag.redactions
FOR EACH ROW EXECUTE FUNCTION rag._redactions_changed();
CREATE TRIGGER tell_sessions AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON rag.redactions
FOR EACH STATEMENT EXECUTE FUNCTION rag._redactions_changed();

-- A dump has what the administrator added or changed, which comes in the place of what is here then.
SELECT pg_catalog.pg_extension_config_dump('rag.redactions',
  'WHERE (name, pattern, replacement, enabled) NOT IN (SELECT d.name, d.pattern, d.replacement, d.enabled FROM rag._redaction_defaults d)');

COMMENT ON TABLE rag._redaction_defaults IS 'internal: rag.redactions as it comes with the extension';
COMMENT ON FUNCTION rag._redactions_changed() IS
'internal: checks the pattern of a row of rag.redactions, and tells all sessions of a change';
COMMENT ON TABLE rag.redactions IS
'what is replaced in the log of agents before it is stored: in the strings of input, output and attributes, their keys too, in numbers, in names and in errors. Who owns the extension''s tables may change it';
COMMENT ON COLUMN rag.redactions.name IS 'what it is called; they are used in the order of their names';
COMMENT ON COLUMN rag.redactions.pattern IS
'regular expression of the Rust crate regex, whose time is linear in the text: no look-around, no back-references';
COMMENT ON COLUMN rag.redactions.replacement IS 'what stands in its place; ${1} is what the first group has matched';
COMMENT ON COLUMN rag.redactions.enabled IS 'false: nothing is replaced';

-- Logs that others have written: see docs/parsing.md.

CREATE FUNCTION rag.parse_log(content text, format text DEFAULT 'auto')
RETURNS TABLE (line integer, syntax text, run text, span text, parent text, kind text, name text, started timestamptz,
               duration_ms double precision, input jsonb, output jsonb, model text, input_tokens bigint, output_tokens bigint,
               cost double precision, status text, error text, attributes jsonb, raw text)
LANGUAGE c IMMUTABLE PARALLEL RESTRICTED COST 10000 AS 'MODULE_PATHNAME', 'ragstone_parse_log';

COMMENT ON FUNCTION rag.parse_log(text, text) IS
'steps found in a log: JSON lines, logfmt, Python logging, LangChain and LangGraph events and runs, OpenTelemetry JSON; format is auto, json, logfmt, python, langchain or otlp; a line that is not understood is a row with raw';

CREATE FUNCTION rag.parse_log(content bytea, format text DEFAULT 'auto')
RETURNS TABLE (line integer, syntax text, run text, span text, parent text, kind text, name text, started timestamptz,
               duration_ms double precision, input jsonb, output jsonb, model text, input_tokens bigint, output_tokens bigint,
               cost double precision, status text, error text, attributes jsonb, raw text)
LANGUAGE c IMMUTABLE PARALLEL RESTRICTED COST 10000 AS 'MODULE_PATHNAME', 'ragstone_parse_log_bytes';

COMMENT ON FUNCTION rag.parse_log(bytea, text) IS
'steps found in a log whose bytes need not be valid UTF-8: what is not is shown as U+FFFD, with a NOTICE that counts it';

COMMENT ON FUNCTION rag.import_log(text, text, text, jsonb) IS
'writes the steps of a log into rag.runs and rag.steps, in the caller''s transaction and as the caller''s own: a run for each that the log names; unknown counts the lines that were not understood, which are kept as steps';
COMMENT ON FUNCTION rag.import_log(bytea, text, text, jsonb) IS
'the same for a log whose bytes need not be valid UTF-8';

-- Tools: functions, and searches of a collection, that language models may ask for.

-- Functions go by their signatures as text: a regprocedure column would stop pg_upgrade. What a tool takes is read from the
-- catalogue at each use, so that it is never out of date.
CREATE TABLE rag._tool (
  name text COLLATE "C" PRIMARY KEY,
  owner name NOT NULL,
  function text,
  function_name text,
  collection text,
  description text,
  timeout_ms integer NOT NULL,
  max_rows integer NOT NULL,
  max_bytes integer NOT NULL,
  writes boolean NOT NULL DEFAULT false,
  requires_approval boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CHECK ((function IS NULL) <> (collection IS NULL))
);

-- It is read as whoever uses a tool, and holds what the catalogue says of functions to everybody.
GRANT SELECT ON rag._tool TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('rag._tool', '');

CREATE VIEW rag.tools AS
SELECT name, function, collection, description, schema, timeout_ms, max_rows, max_bytes, writes, requires_approval, owner,
       usable, reason
FROM rag._tools();

GRANT SELECT ON rag.tools TO PUBLIC;

COMMENT ON TABLE rag._tool IS 'internal: tools as rag.create_tool and rag.create_search_tool made them; see rag.tools';
COMMENT ON COLUMN rag._tool.function IS 'signature, as regprocedure writes it under a search path of pg_catalog';
COMMENT ON COLUMN rag._tool.function_name IS 'its name alone, by which it is looked up';
COMMENT ON COLUMN rag._tool.description IS 'NULL: the comment on the function';
COMMENT ON VIEW rag.tools IS 'tools that agents can be given, as they are now';
COMMENT ON COLUMN rag.tools.function IS 'that is called; NULL for a search';
COMMENT ON COLUMN rag.tools.collection IS 'that is searched; NULL for a function';
COMMENT ON COLUMN rag.tools.description IS 'what models are told that it does';
COMMENT ON COLUMN rag.tools.schema IS 'JSON schema of the arguments';
COMMENT ON COLUMN rag.tools.timeout_ms IS 'longest time that a call may take';
COMMENT ON COLUMN rag.tools.max_rows IS 'most rows of a result that a model is shown';
COMMENT ON COLUMN rag.tools.max_bytes IS 'most bytes of a result that a model is shown';
COMMENT ON COLUMN rag.tools.writes IS 'whether it may write; others run read-only';
COMMENT ON COLUMN rag.tools.requires_approval IS 'whether a person has to agree to each call of an agent''s';
COMMENT ON COLUMN rag.tools.owner IS 'role that made it. It runs with the rights of whoever calls it';
COMMENT ON COLUMN rag.tools.usable IS 'whether the current role may use it now';
COMMENT ON COLUMN rag.tools.reason IS 'why not';

COMMENT ON FUNCTION rag._tools() IS 'internal: rows of rag.tools';
COMMENT ON FUNCTION rag.create_tool(regprocedure, text, text, integer, integer, integer, boolean, boolean, boolean) IS
'makes a function a tool for agents; its name, its description and what it takes are the function''s own name, its comment and its arguments. It runs with the rights of whoever calls it, read-only unless it writes. Gives the tool''s name';
COMMENT ON FUNCTION rag.create_search_tool(text, text, text, integer, integer, integer, boolean, boolean) IS
'makes the search of a collection a tool for agents, which gives the k best passages of rows that the caller may read. Gives the tool''s name';
COMMENT ON FUNCTION rag.drop_tool(text) IS 'forgets a tool; its function or collection stays';
COMMENT ON FUNCTION rag.call_tool(text, jsonb) IS
'calls a tool as an agent would, and gives what the model would be told: what the tool raises is a row with is_error';

ALTER FUNCTION rag.call_tool(text, jsonb) ROWS 1;

CREATE FUNCTION rag.trace(
  run bigint,
  width INT DEFAULT 120,
  ascii bool DEFAULT false
) RETURNS SETOF text
STABLE PARALLEL RESTRICTED
LANGUAGE c AS 'MODULE_PATHNAME', 'trace_wrapper';

-- Runs and steps as OpenTelemetry's spans.

-- Numbers that are the same each time: where the application has not given a trace, a run is one of its own. Beginnings are in
-- them, so that runs of other databases have others.
CREATE FUNCTION rag._span_id(what text, id bigint, began timestamptz) RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(what, 'UTF8') || pg_catalog.int8send(id)
                                             || pg_catalog.timestamptz_send(began)), 'hex');
END;

CREATE FUNCTION rag._unix_nano(moment timestamptz, plus_ms double precision) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  -- What OTLP has no number for is the beginning of time.
  SELECT CASE WHEN moment > 'epoch' AND moment < '2250-01-01 00:00:00+00'
              THEN (extract(epoch FROM moment) * 1000000000
                    + pg_catalog.round(greatest(least(coalesce(plus_ms, 0), 1e12), 0)::numeric * 1000000))::bigint::text
              ELSE '0' END;
END;

CREATE FUNCTION rag._spans(content boolean) RETURNS TABLE (
  trace_id text, span_id text, parent_span_id text, name text, kind integer, start_time_unix_nano text, end_time_unix_nano text,
  attributes jsonb, status jsonb, run_id bigint, step_id bigint, owner name, agent text, started timestamptz
) LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(r.trace_id, pg_catalog.substr(rag._span_id('ragstone trace', r.id, r.started), 1, 32)),
         pg_catalog.substr(rag._span_id('ragstone run', r.id, r.started), 1, 16),
         r.parent_span_id,
         rag._span_name(NULL, r.agent, NULL),
         1,
         rag._unix_nano(r.started, 0),
         rag._unix_nano(coalesce(r.finished, r.started), 0),
         rag._span_attributes(CASE WHEN content THEN to_jsonb(r) ELSE to_jsonb(r) - '{input,output}'::text[] END),
         CASE WHEN r.status = 'failed' OR r.error IS NOT NULL
              THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('code', 2, 'message', r.error))
              ELSE '{"code": 0}' END,
         r.id,
         NULL::bigint,
         r.owner,
         r.agent,
         r.started
  FROM rag.runs r
  UNION ALL
  SELECT coalesce(r.trace_id, pg_catalog.substr(rag._span_id('ragstone trace', r.id, r.started), 1, 32)),
         pg_catalog.substr(rag._span_id('ragstone step', s.id, r.started), 1, 16),
         CASE WHEN s.parent_id IS NULL THEN pg_catalog.substr(rag._span_id('ragstone run', r.id, r.started), 1, 16)
              ELSE pg_catalog.substr(rag._span_id('ragstone step', s.parent_id, r.started), 1, 16) END,
         rag._span_name(s.kind, s.name, s.model),
         CASE s.kind WHEN 'model' THEN 3 ELSE 1 END,
         rag._unix_nano(s.started, 0),
         rag._unix_nano(s.started, s.duration_ms),
         rag._span_attributes(CASE WHEN content THEN to_jsonb(s) ELSE to_jsonb(s) - '{input,output}'::text[] END),
         CASE WHEN s.status = 'error'
              THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('code', 2, 'message', s.error))
              ELSE '{"code": 0}' END,
         s.run_id,
         s.id,
         s.owner,
         s.agent,
         s.started
  FROM rag.steps s
  JOIN rag.runs r ON r.id = s.run_id;
END;

CREATE VIEW rag.spans AS
SELECT span_id AS id, trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano, end_time_unix_nano, attributes, status,
       run_id, step_id, owner, agent, started
FROM rag._spans(false);

GRANT SELECT ON rag.spans TO PUBLIC;

CREATE FUNCTION rag._span_messages(content boolean) RETURNS TABLE (run_id bigint, step_id bigint, started timestamptz, span jsonb)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT s.run_id, s.step_id, s.started,
         pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'traceId', s.trace_id, 'spanId', s.span_id, 'parentSpanId', s.parent_span_id, 'flags', 1, 'name', s.name,
           'kind', s.kind, 'startTimeUnixNano', s.start_time_unix_nano, 'endTimeUnixNano', s.end_time_unix_nano,
           'status', s.status)) || pg_catalog.jsonb_build_object('attributes', s.attributes)
  FROM rag._spans(content) s;
END;

CREATE FUNCTION rag._otlp(spans jsonb) RETURNS jsonb LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT pg_catalog.jsonb_build_object('resourceSpans', pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
    'resource', pg_catalog.jsonb_build_object('attributes', pg_catalog.jsonb_build_array(
      pg_catalog.jsonb_build_object('key', 'service.name', 'value', pg_catalog.jsonb_build_object('stringValue', 'ragstone')),
      pg_catalog.jsonb_build_object('key', 'db.namespace', 'value',
                                    pg_catalog.jsonb_build_object('stringValue', pg_catalog.current_database())))),
    'scopeSpans', pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
      'scope', pg_catalog.jsonb_build_object('name', 'ragstone', 'version', rag._version()),
      'spans', spans,
      'schemaUrl', rag._semconv_url())))));
END;

CREATE FUNCTION rag.otlp(run bigint, content boolean DEFAULT false) RETURNS jsonb LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT rag._otlp(pg_catalog.jsonb_agg(s.span ORDER BY s.started, s.step_id NULLS FIRST))
  FROM rag._span_messages(content) s
  WHERE s.run_id = run;
END;

CREATE FUNCTION rag.export_spans(
  since timestamptz, until timestamptz DEFAULT 'infinity', content boolean DEFAULT false, spans_at_once integer DEFAULT 1000
) RETURNS SETOF jsonb LANGUAGE sql STABLE ROWS 100
BEGIN ATOMIC
  SELECT rag._otlp(pg_catalog.jsonb_agg(n.span ORDER BY n.place))
  FROM (
    SELECT s.span, pg_catalog.row_number() OVER (ORDER BY s.started, s.run_id, s.step_id NULLS FIRST) - 1 AS place
    FROM rag._span_messages(content) s
    WHERE s.started >= since AND s.started < until) n
  GROUP BY n.place / greatest(spans_at_once, 1)
  ORDER BY n.place / greatest(spans_at_once, 1);
END;

ALTER FUNCTION rag.trace(bigint, integer, boolean) ROWS 20;

COMMENT ON FUNCTION rag._span_id(text, bigint, timestamptz) IS 'internal: numbers of traces and spans';
COMMENT ON FUNCTION rag._unix_nano(timestamptz, double precision) IS 'internal: nanoseconds since 1970';
COMMENT ON FUNCTION rag._spans(boolean) IS 'internal: rows of rag.spans, with what was given and what came of it where it is wanted';
COMMENT ON FUNCTION rag._span_messages(boolean) IS 'internal: rows of rag.spans as OTLP writes them in JSON';
COMMENT ON FUNCTION rag._span_name(text, text, text) IS 'internal: name of a span';
COMMENT ON FUNCTION rag._span_attributes(jsonb) IS 'internal: attributes of a span, of a row of rag.runs or rag.steps';
COMMENT ON FUNCTION rag._otlp(jsonb) IS 'internal: spans as a request to a collector';
COMMENT ON FUNCTION rag._version() IS 'internal: version of the library';
COMMENT ON FUNCTION rag._semconv_url() IS 'internal: the version of OpenTelemetry''s semantic conventions that attributes are named by';
COMMENT ON VIEW rag.spans IS
'runs and steps as spans of OTLP, whose names these are: a run is the root of its steps, or a child of the application''s span where rag.start_run was given a traceparent; who sees what as in rag.steps';
COMMENT ON COLUMN rag.spans.id IS 'the same as span_id';
COMMENT ON COLUMN rag.spans.trace_id IS '32 hexadecimal digits';
COMMENT ON COLUMN rag.spans.span_id IS '16 hexadecimal digits';
COMMENT ON COLUMN rag.spans.name IS 'as OpenTelemetry''s conventions for generative AI say: invoke_agent support, chat gpt-4o, execute_tool get_order';
COMMENT ON COLUMN rag.spans.kind IS '1: internal, 3: client';
COMMENT ON COLUMN rag.spans.attributes IS 'OTLP''s array of keys and values, without what was given to a step and what came of it';
COMMENT ON COLUMN rag.spans.status IS 'code 2: an error, with its message; 0 else';
COMMENT ON COLUMN rag.spans.step_id IS 'NULL: the run';
COMMENT ON FUNCTION rag.otlp(bigint, boolean) IS
'a run as a request that an OpenTelemetry collector accepts at /v1/traces; content: with what was given to steps and what came of it. NULL where there is no such run';
COMMENT ON FUNCTION rag.export_spans(timestamptz, timestamptz, boolean, integer) IS
'runs and steps that began between two moments, as requests that an OpenTelemetry collector accepts at /v1/traces, each with so many spans at most';
COMMENT ON FUNCTION rag.trace(bigint, integer, boolean) IS
'a run as a tree for people: a line for each step under its parent, how long it took, when in the run that was, tokens, cost, error and texts, cut to width columns; ascii: without lines that not every terminal has';

COMMENT ON FUNCTION rag.submit(text, jsonb, text) IS
'have a function called in a process of its own, as the current role, when the transaction commits; kind is embed, search, refresh, generate, ask, chat or agent, args are its named arguments. The same idempotency key gives the same job. Gives the job''s number';

-- Agents: language models with instructions and tools, and the runs of them that can be gone on with.

-- Read through a view: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Roles go by name, since no number of theirs outlives a restore.
CREATE TABLE rag._agent (
  name text PRIMARY KEY CHECK (name <> ''),
  owner name NOT NULL,
  instructions text NOT NULL,
  model text,
  tools text[] NOT NULL,
  max_steps integer NOT NULL CHECK (max_steps > 0),
  token_budget bigint CHECK (token_budget > 0),
  timeout interval CHECK (timeout > '0'),
  output_schema jsonb,
  temperature double precision,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- What a run that is a job needs to be gone on with. The log is no place for it: what is logged may be redacted, cut and
-- forgotten, and an approved call is made exactly as the model wrote it. It is deleted when the run is done.
CREATE TABLE rag._agent_run (
  id bigint PRIMARY KEY,
  owner name NOT NULL,
  agent text NOT NULL,
  session bigint,
  job bigint NOT NULL UNIQUE,
  status text NOT NULL CHECK (status IN ('running', 'waiting', 'failed', 'cancelled')),
  updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

CREATE TABLE rag._agent_turn (
  run_id bigint NOT NULL REFERENCES rag._agent_run ON DELETE CASCADE,
  number integer NOT NULL,
  step_id bigint NOT NULL,
  event text NOT NULL,
  decision text CHECK (decision IN ('waiting', 'approved', 'rejected')),
  PRIMARY KEY (run_id, number)
);

CREATE UNIQUE INDEX _agent_turn_decision ON rag._agent_turn (step_id) WHERE decision IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('rag._agent', '');
SELECT pg_catalog.pg_extension_config_dump('rag._agent_run', '');
SELECT pg_catalog.pg_extension_config_dump('rag._agent_turn', '');

CREATE VIEW rag.agents AS
SELECT name, owner, instructions, model, tools, max_steps, token_budget, timeout, output_schema, temperature, created_at,
       updated_at
FROM rag._agent;

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see.
CREATE VIEW rag.approvals WITH (security_barrier) AS
SELECT t.step_id AS step,
       r.id AS run_id,
       r.agent,
       r.owner,
       s.call ->> 'name' AS tool,
       s.call ->> 'arguments' AS arguments,
       r.updated_at AS since
FROM rag._agent_turn t
JOIN rag._agent_run r ON r.id = t.run_id
CROSS JOIN LATERAL (
  SELECT said.event::jsonb -> 'calls' -> ((t.event::jsonb ->> 'position')::integer) AS call
  FROM rag._agent_turn said
  WHERE said.run_id = t.run_id AND said.number < t.number AND said.event::jsonb ->> 'event' = 'said'
  ORDER BY said.number DESC LIMIT 1) s
WHERE t.decision = 'waiting'
  AND (pg_catalog.pg_has_role(pg_catalog.to_regrole(pg_catalog.quote_ident(r.owner)), 'USAGE')
       OR (SELECT EXISTS (SELECT FROM rag._auditors)));

GRANT SELECT ON rag.agents, rag.approvals TO PUBLIC;

COMMENT ON TABLE rag._agent IS 'internal: agents; see rag.agents';
COMMENT ON TABLE rag._agent_run IS 'internal: runs of agents as jobs that are not done; the log is in rag.runs';
COMMENT ON COLUMN rag._agent_run.job IS 'that does it, or did last';
COMMENT ON TABLE rag._agent_turn IS 'internal: what has happened in these runs, in order, as it was said; the log is in rag.steps';
COMMENT ON COLUMN rag._agent_turn.step_id IS 'its step in the log';
COMMENT ON COLUMN rag._agent_turn.event IS 'JSON of the event';
COMMENT ON COLUMN rag._agent_turn.decision IS 'of a call that needs approval';
COMMENT ON INDEX rag._agent_turn_decision IS 'internal: calls that need approval';
COMMENT ON VIEW rag.agents IS 'language models with instructions and tools, for rag.run_agent; made by rag.create_agent';
COMMENT ON COLUMN rag.agents.owner IS 'who may change or drop it; whoever runs it does so with his own rights';
COMMENT ON COLUMN rag.agents.instructions IS 'what the model is told to be and do';
COMMENT ON COLUMN rag.agents.model IS 'server/model; NULL: rag.default_llm';
COMMENT ON COLUMN rag.agents.tools IS 'names of tools that it may call; see rag.tools';
COMMENT ON COLUMN rag.agents.max_steps IS 'most calls of the model in a run';
COMMENT ON COLUMN rag.agents.token_budget IS 'most tokens of a run, in and out; NULL: any';
COMMENT ON COLUMN rag.agents.timeout IS 'longest time of a run, without what is waited for approvals; NULL: any';
COMMENT ON COLUMN rag.agents.output_schema IS 'JSON Schema that the answer meets';
COMMENT ON VIEW rag.approvals IS
'calls of tools that wait for a decision by rag.approve or rag.reject: those of runs of the reader, or of a role that he is a member of; members of rag_auditor see all';
COMMENT ON COLUMN rag.approvals.step IS 'for rag.approve and rag.reject';
COMMENT ON COLUMN rag.approvals.owner IS 'whose run it is, and with whose rights the tool is called';
COMMENT ON COLUMN rag.approvals.arguments IS 'JSON, exactly as the model wrote it and as the tool gets it';

COMMENT ON FUNCTION rag.create_agent(text, text, text, text[], int, bigint, interval, jsonb, float8, boolean) IS
'makes an agent of a language model, instructions and tools; with replace it changes one of the current role''s. Whoever runs it does so with his own rights';
COMMENT ON FUNCTION rag.drop_agent(text) IS 'forgets an agent of the current role; its runs stay in the log';
COMMENT ON FUNCTION rag.run_agent(text, text, bigint) IS
'runs an agent in this transaction, with the caller''s rights: its model is asked and its tools are called until there is an answer. Where a limit is met the status is failed and error says which; what the tools did stays';
COMMENT ON FUNCTION rag.approve(bigint, text) IS
'lets a call be made that waits for approval, exactly as rag.approvals shows it. The run goes on as a job, whose number this gives; NULL while other calls of the same run wait';
COMMENT ON FUNCTION rag.reject(bigint, text) IS
'forbids a call that waits for approval; the model is told the reason. The run goes on as a job, whose number this gives; NULL while other calls of the same run wait';
COMMENT ON FUNCTION rag.resume_run(bigint) IS
'goes on with a run that has failed or was cancelled, as a job, whose number this gives. No call of a tool that was completed is made again';

ALTER FUNCTION rag.run_agent ROWS 1;

CREATE OR REPLACE VIEW rag.budget_state WITH (security_barrier) AS
SELECT id,
       role,
       server,
       period,
       period_start,
       period_end,
       cost,
       max_cost,
       CASE WHEN max_cost IS NOT NULL THEN greatest(max_cost - cost, 0) END AS cost_left,
       tokens,
       max_tokens,
       CASE WHEN max_tokens IS NOT NULL THEN greatest(max_tokens - tokens, 0) END AS tokens_left,
       calls,
       max_calls,
       CASE WHEN max_calls IS NOT NULL THEN greatest(max_calls - calls, 0) END AS calls_left
FROM rag._budget_periods
WHERE (SELECT EXISTS (SELECT FROM rag._auditors))
   OR ((role IS NULL OR role = current_user)
       AND (server IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_foreign_server s
                                      WHERE s.srvname = server AND pg_catalog.has_server_privilege(s.oid, 'USAGE'))));

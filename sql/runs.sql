-- The log of agents: runs, and their steps. See rag.start_run and rag.log_step.

-- Not identity columns: the numbers are taken before a row is made, which another process may write.
CREATE SEQUENCE rag._run_id;
CREATE SEQUENCE rag._step_id;

-- Both are partitioned by weeks, which the database's worker makes ahead; the default partition takes what has no week.
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
  counted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (id, started)
) PARTITION BY RANGE (started);

CREATE TABLE rag._runs_other PARTITION OF rag._runs DEFAULT;

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
  written bigint NOT NULL,
  PRIMARY KEY (id, started)
) PARTITION BY RANGE (started);

CREATE TABLE rag._steps_other PARTITION OF rag._steps DEFAULT;

CREATE INDEX _steps_run ON rag._steps (run_id, number);

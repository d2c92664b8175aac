-- Agents: language models with instructions and tools, and their runs that can be resumed.

-- The table is read through a view: pg_dump would dump policies of an extension's table separately from the extension, and the restore
-- would fail. rag._owner has the role of each owner's name.
CREATE TABLE rag._agent (
  name text PRIMARY KEY CHECK (name <> ''),
  owner name NOT NULL,
  instructions text NOT NULL,
  model text,
  tools text[] NOT NULL,
  max_steps integer NOT NULL CHECK (max_steps > 0),
  token_budget bigint CHECK (token_budget > 0),
  timeout_ms integer CHECK (timeout_ms > 0),
  output_schema jsonb,
  temperature double precision,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- The state from which a job continues a run. It is not in the log, because the log may be redacted, truncated and deleted, and an approved
-- call is made exactly as the model wrote it. It is deleted when the run is done.
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
SELECT name, owner, instructions, model, tools, max_steps, token_budget, timeout_ms, output_schema, temperature,
       created_at, updated_at
FROM rag._agent;

-- A security barrier, so that functions in a reader's query do not see other roles' rows.
CREATE VIEW rag.approvals WITH (security_barrier) AS
SELECT t.step_id AS step,
       r.id AS run_id,
       r.agent,
       r.owner,
       s.call ->> 'name'::text AS tool,
       s.call ->> 'arguments'::text AS arguments,
       r.updated_at AS since
FROM rag._agent_turn t
JOIN rag._agent_run r ON r.id = t.run_id
CROSS JOIN LATERAL (
  SELECT said.event::jsonb -> 'calls'::text -> ((t.event::jsonb ->> 'position'::text)::integer) AS call
  FROM rag._agent_turn said
  WHERE said.run_id = t.run_id AND said.number < t.number AND said.event::jsonb ->> 'event'::text = 'said'
  ORDER BY said.number DESC LIMIT 1) s
WHERE t.decision = 'waiting'
  AND (pg_catalog.pg_has_role(rag._role_of(r.owner), 'USAGE')
       OR (SELECT EXISTS (SELECT FROM rag._auditors)));

GRANT SELECT ON rag.agents, rag.approvals TO PUBLIC;

COMMENT ON TABLE rag._agent IS 'internal: agents; see rag.agents';
COMMENT ON TABLE rag._agent_run IS 'internal: runs of agents as jobs that are not done; their log is in rag.runs';
COMMENT ON COLUMN rag._agent_run.job IS 'job that executes it, or executed it last';
COMMENT ON TABLE rag._agent_turn IS 'internal: the events of these runs, in order and unredacted; their log is in rag.steps';
COMMENT ON COLUMN rag._agent_turn.step_id IS 'its step in the log';
COMMENT ON COLUMN rag._agent_turn.event IS 'JSON of the event';
COMMENT ON COLUMN rag._agent_turn.decision IS 'decision on a call that needs approval';
COMMENT ON INDEX rag._agent_turn_decision IS 'internal: calls that need approval';
COMMENT ON VIEW rag.agents IS 'language models with instructions and tools, for rag.run_agent; made by rag.create_agent';
COMMENT ON COLUMN rag.agents.owner IS 'role that may change or drop it; a run has the rights of the role that starts it';
COMMENT ON COLUMN rag.agents.instructions IS 'system instructions for the model';
COMMENT ON COLUMN rag.agents.model IS 'server/model; NULL: rag.default_llm';
COMMENT ON COLUMN rag.agents.tools IS 'names of tools that it may call; see rag.tools';
COMMENT ON COLUMN rag.agents.max_steps IS 'maximum calls of the model in a run';
COMMENT ON COLUMN rag.agents.token_budget IS 'maximum input and output tokens of a run; NULL: no limit';
COMMENT ON COLUMN rag.agents.timeout_ms IS 'maximum time of a run, not counting waits for approval; NULL: no limit';
COMMENT ON COLUMN rag.agents.output_schema IS 'JSON Schema of the answer';
COMMENT ON VIEW rag.approvals IS
'calls of tools that wait for rag.approve or rag.reject, in runs of roles that the reader is a member of; members of rag_auditor see all';
COMMENT ON COLUMN rag.approvals.step IS 'argument of rag.approve and rag.reject';
COMMENT ON COLUMN rag.approvals.owner IS 'owner of the run, with whose rights the tool is called';
COMMENT ON COLUMN rag.approvals.arguments IS 'JSON, exactly as the model wrote it and as the tool receives it';

COMMENT ON FUNCTION rag.create_agent(text, text, text, text[], int, bigint, int, jsonb, float8, boolean) IS
'create an agent: a language model with instructions and tools; a run has the rights of the role that starts it';
COMMENT ON FUNCTION rag.drop_agent(text) IS 'drop an agent of the current role; its runs stay in the log';
COMMENT ON FUNCTION rag.run_agent(text, text, bigint) IS
'run an agent in this transaction, with the caller''s rights';
COMMENT ON FUNCTION rag.approve(bigint, text) IS
'approve a call that waits, which is made exactly as rag.approvals shows it; returns the job that continues the run, or NULL while other calls of the run wait';
COMMENT ON FUNCTION rag.reject(bigint, text) IS
'reject a call that waits; the model gets the reason; returns the job that continues the run, or NULL while other calls of the run wait';
COMMENT ON FUNCTION rag.resume_run(bigint) IS
'continue a failed or cancelled run as a job, without repeating completed calls of tools; returns the job';

ALTER FUNCTION rag.run_agent ROWS 1;

-- Agents: language models with instructions and tools, and the runs of them that can be gone on with.

-- Read through a view: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Whom a name of an owner stands for is in rag._owner.
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
SELECT name, owner, instructions, model, tools, max_steps, token_budget, timeout_ms, output_schema, temperature,
       created_at, updated_at
FROM rag._agent;

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see.
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
COMMENT ON COLUMN rag.agents.timeout_ms IS 'longest time of a run, without what is waited for approvals; NULL: any';
COMMENT ON COLUMN rag.agents.output_schema IS 'JSON Schema that the answer meets';
COMMENT ON VIEW rag.approvals IS
'calls of tools that wait for a decision by rag.approve or rag.reject: those of runs of the reader, or of a role that he is a member of; members of rag_auditor see all';
COMMENT ON COLUMN rag.approvals.step IS 'for rag.approve and rag.reject';
COMMENT ON COLUMN rag.approvals.owner IS 'whose run it is, and with whose rights the tool is called';
COMMENT ON COLUMN rag.approvals.arguments IS 'JSON, exactly as the model wrote it and as the tool gets it';

COMMENT ON FUNCTION rag.create_agent(text, text, text, text[], int, bigint, int, jsonb, float8, boolean) IS
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

-- From 0.2.0 to 0.3.0: language models of providers.

\echo Use "ALTER EXTENSION ragstone UPDATE TO '0.3.0'" to load this file. \quit

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_foreign_data_wrapper WHERE fdwname = 'rag') THEN
    RAISE EXCEPTION 'foreign-data wrapper "rag" exists already'
      USING ERRCODE = 'duplicate_object',
            HINT = 'Rename or drop it: ALTER FOREIGN DATA WRAPPER rag RENAME TO …;';
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_foreign_server WHERE srvname = 'local') THEN
    RAISE EXCEPTION 'server "local" exists already'
      USING ERRCODE = 'duplicate_object',
            HINT = 'Rename or drop it: ALTER SERVER local RENAME TO …;';
  END IF;
END
$$;

CREATE FUNCTION rag._validate_options(
  options text[],
  catalog oid
) RETURNS void
STRICT VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', '_validate_options_wrapper';

CREATE FUNCTION rag.ask(
  collection text,
  question text,
  model text DEFAULT NULL,
  k INT DEFAULT 5,
  mode text DEFAULT 'hybrid',
  filter jsonb DEFAULT NULL,
  min_similarity double precision DEFAULT NULL,
  instructions text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  timeout_ms INT DEFAULT NULL
) RETURNS TABLE (
  answer text,
  citations jsonb,
  model text,
  answered bool,
  similarity double precision,
  finish_reason text
)
VOLATILE PARALLEL UNSAFE COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'ask_wrapper';

CREATE FUNCTION rag.call(
  prompt text DEFAULT NULL,
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  messages jsonb DEFAULT NULL,
  tools jsonb DEFAULT NULL,
  schema jsonb DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS TABLE (
  content text,
  tool_calls jsonb,
  finish_reason text,
  input_tokens bigint,
  output_tokens bigint,
  cost double precision,
  latency_ms double precision
)
VOLATILE PARALLEL RESTRICTED COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'call_wrapper';

CREATE FUNCTION rag.cancel(
  id bigint
) RETURNS bool
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'cancel_wrapper';

CREATE FUNCTION rag.chat(
  session bigint,
  message text,
  collection text DEFAULT NULL,
  persona text DEFAULT NULL,
  model text DEFAULT NULL,
  k INT DEFAULT 5,
  max_tokens INT DEFAULT NULL,
  timeout_ms INT DEFAULT NULL
) RETURNS TABLE (
  message_id bigint,
  answer text,
  citations jsonb,
  question text,
  model text,
  persona text,
  answered bool
)
VOLATILE PARALLEL UNSAFE COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'chat_wrapper';

CREATE FUNCTION rag.chat_stream(
  session bigint,
  message text,
  collection text DEFAULT NULL,
  persona text DEFAULT NULL,
  model text DEFAULT NULL,
  k INT DEFAULT 5,
  max_tokens INT DEFAULT NULL,
  timeout_ms INT DEFAULT NULL
) RETURNS SETOF text
VOLATILE PARALLEL UNSAFE COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'chat_stream_wrapper';

CREATE FUNCTION rag.count_tokens(
  input text,
  model text DEFAULT NULL
) RETURNS INT
STABLE PARALLEL RESTRICTED COST 10000
LANGUAGE c AS 'MODULE_PATHNAME', 'count_tokens_wrapper';

CREATE FUNCTION rag.create_provider(
  name text,
  kind text DEFAULT NULL,
  api_key text DEFAULT NULL,
  base_url text DEFAULT NULL,
  model text DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS void
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'create_provider_wrapper';

-- Providers of models are foreign servers of the wrapper rag, their keys are user mappings, the right to use one is USAGE.

CREATE FOREIGN DATA WRAPPER rag NO HANDLER VALIDATOR rag._validate_options;

COMMENT ON FOREIGN DATA WRAPPER rag IS
'providers of models; whoever has USAGE on it may name the address that prompts are sent to';

CREATE SERVER local FOREIGN DATA WRAPPER rag;
GRANT USAGE ON FOREIGN SERVER local TO PUBLIC;

COMMENT ON SERVER local IS 'the models installed on this host; takes no options';

CREATE VIEW rag.providers AS
SELECT s.srvname AS name,
       pg_catalog.pg_get_userbyid(s.srvowner) AS owner,
       (SELECT option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) WHERE option_name = 'protocol') AS protocol,
       (SELECT option_value FROM pg_catalog.pg_options_to_table(s.srvoptions) WHERE option_name = 'base_url') AS base_url,
       (SELECT option_value FROM pg_catalog.pg_options_to_table(s.srvoptions)
        WHERE option_name = 'default_model') AS default_model,
       pg_catalog.has_server_privilege(s.oid, 'USAGE') AS usable,
       EXISTS (SELECT FROM pg_catalog.pg_user_mappings m WHERE m.srvid = s.oid AND m.usename = 'public') AS has_key,
       EXISTS (SELECT FROM pg_catalog.pg_user_mappings m WHERE m.srvid = s.oid AND m.usename = current_user) AS has_own_key
FROM pg_catalog.pg_foreign_server s
JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname = 'rag';

GRANT SELECT ON rag.providers TO PUBLIC;

COMMENT ON VIEW rag.providers IS
'foreign servers of the wrapper rag; usable: by the current role; has_key: one for all who may use it, has_own_key: one of the current role''s';
COMMENT ON FUNCTION rag._validate_options(text[], oid) IS 'internal: checks the options of servers and user mappings of the wrapper rag';
COMMENT ON FUNCTION rag.create_provider(text, text, text, text, text, jsonb) IS
'makes a provider: a foreign server from the template kind (the name, if it is not given), and a user mapping for its key; options are the server''s';

-- Postgres itself calls it, and asks nobody's rights for that.
REVOKE EXECUTE ON FUNCTION rag._validate_options(text[], oid) FROM PUBLIC;

-- What calls to providers took, and what they may take.

-- Whoever is a member sees everybody's calls. Roles belong to all databases, so another one may have made it.
DO $$
BEGIN
  CREATE ROLE rag_auditor NOLOGIN;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- Read through views: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Roles and servers go by name, since no number of theirs outlives a restore.
CREATE TABLE rag._calls (
  id bigint PRIMARY KEY,
  began timestamptz NOT NULL,
  role name NOT NULL,
  function text NOT NULL,
  server name NOT NULL,
  model text NOT NULL,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  cost double precision NOT NULL,
  latency_ms double precision NOT NULL,
  status text NOT NULL CHECK (status IN ('answered', 'cancelled', 'failed')),
  sqlstate text,
  retries integer NOT NULL,
  prompt text,
  reply text
);

CREATE INDEX ON rag._calls (began);

-- Hours are in UTC. All periods begin with one, so what a budget has left is the sum of a few rows.
CREATE TABLE rag._spent (
  hour timestamptz NOT NULL,
  role name NOT NULL,
  server name NOT NULL,
  cost double precision NOT NULL,
  tokens bigint NOT NULL,
  calls bigint NOT NULL,
  PRIMARY KEY (hour, role, server)
);

CREATE TABLE rag.budgets (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  role name,
  server name,
  period text NOT NULL CHECK (period IN ('hour', 'day', 'month')),
  max_cost double precision CHECK (max_cost >= 0 AND max_cost < 'infinity'),
  max_tokens bigint CHECK (max_tokens >= 0),
  max_calls bigint CHECK (max_calls >= 0),
  CONSTRAINT budgets_limit_something CHECK (pg_catalog.num_nonnulls(max_cost, max_tokens, max_calls) > 0)
);

SELECT pg_catalog.pg_extension_config_dump('rag._calls', '');
SELECT pg_catalog.pg_extension_config_dump('rag._spent', '');
SELECT pg_catalog.pg_extension_config_dump('rag.budgets', '');
SELECT pg_catalog.pg_extension_config_dump('rag.budgets_id_seq', '');

COMMENT ON TABLE rag._calls IS 'internal: calls to providers; see rag.calls';
COMMENT ON COLUMN rag._calls.id IS 'given by the engine: what is written a second time is the same call';
COMMENT ON TABLE rag._spent IS 'internal: what calls have taken in each hour, by role and server';
COMMENT ON COLUMN rag._spent.tokens IS 'in and out';
COMMENT ON COLUMN rag._spent.calls IS 'without those that a budget refused';
COMMENT ON TABLE rag.budgets IS
'what calls to providers may take: a call needs room in all budgets that apply to it; see rag.budget_state for what is left';
COMMENT ON SEQUENCE rag.budgets_id_seq IS 'internal: numbers of budgets';
COMMENT ON COLUMN rag.budgets.role IS 'whose calls, by the current role, not by membership; NULL: those of all roles together';
COMMENT ON COLUMN rag.budgets.server IS 'calls of which provider; NULL: of all together';
COMMENT ON COLUMN rag.budgets.period IS 'hour, day or month, in UTC';
COMMENT ON COLUMN rag.budgets.max_cost IS 'most cost, by the prices that the servers have; NULL: any';
COMMENT ON COLUMN rag.budgets.max_tokens IS 'most tokens, in and out; NULL: any';
COMMENT ON COLUMN rag.budgets.max_calls IS 'most calls; NULL: any';

CREATE VIEW rag._auditors AS
SELECT r.rolname AS reason FROM pg_catalog.pg_roles r
WHERE (r.rolname = 'rag_auditor' AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
   OR (r.rolname = current_user AND r.rolsuper);

COMMENT ON VIEW rag._auditors IS 'internal: a row if the current role may see everybody''s calls';

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see.
CREATE VIEW rag.calls WITH (security_barrier) AS
SELECT id, began, role, function, server, model, input_tokens, output_tokens, cost, latency_ms, status, sqlstate, retries,
       prompt, reply
FROM rag._calls
WHERE role = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.calls TO PUBLIC;

COMMENT ON VIEW rag.calls IS
'calls to providers, also of transactions that were rolled back: one''s own, and everybody''s for members of rag_auditor and superusers';
COMMENT ON COLUMN rag.calls.began IS 'when the engine got it';
COMMENT ON COLUMN rag.calls.role IS 'the current role of the call, by the name that it had';
COMMENT ON COLUMN rag.calls.cost IS 'by the prices that the server had';
COMMENT ON COLUMN rag.calls.latency_ms IS 'from the call''s arrival in the engine to its answer';
COMMENT ON COLUMN rag.calls.status IS 'answered, cancelled (nobody waited for the answer any more) or failed';
COMMENT ON COLUMN rag.calls.sqlstate IS 'of a call that failed';
COMMENT ON COLUMN rag.calls.retries IS 'tries beyond the first';
COMMENT ON COLUMN rag.calls.prompt IS 'the messages, where rag.log_prompts was on';
COMMENT ON COLUMN rag.calls.reply IS 'the answer, where rag.log_prompts was on';

CREATE VIEW rag.usage AS
SELECT role,
       server,
       model,
       (began AT TIME ZONE 'UTC')::date AS day,
       pg_catalog.count(*) AS calls,
       pg_catalog.count(*) FILTER (WHERE status = 'failed') AS failed,
       pg_catalog.count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
       pg_catalog.sum(input_tokens)::bigint AS input_tokens,
       pg_catalog.sum(output_tokens)::bigint AS output_tokens,
       pg_catalog.sum(cost) AS cost,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE status = 'answered') AS p50_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE status = 'answered') AS p95_ms
FROM rag.calls
GROUP BY 1, 2, 3, 4;

GRANT SELECT ON rag.usage TO PUBLIC;

COMMENT ON VIEW rag.usage IS 'the calls of rag.calls by role, provider, model and day';
COMMENT ON COLUMN rag.usage.day IS 'in UTC';
COMMENT ON COLUMN rag.usage.p50_ms IS 'median of the answered calls'' latency';
COMMENT ON COLUMN rag.usage.p95_ms IS '95th percentile of the answered calls'' latency';

-- A transaction may be older than the period.
CREATE VIEW rag._budget_periods AS
SELECT b.id, b.role, b.server, b.period, b.max_cost, b.max_tokens, b.max_calls,
       p.began AS period_start,
       (p.began AT TIME ZONE 'UTC' + ('1 ' || b.period)::interval) AT TIME ZONE 'UTC' AS period_end,
       coalesce(s.cost, 0) AS cost,
       coalesce(s.tokens, 0)::bigint AS tokens,
       coalesce(s.calls, 0)::bigint AS calls
FROM rag.budgets b
CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc(b.period, pg_catalog.clock_timestamp(), 'UTC') AS began) p
CROSS JOIN LATERAL (
  SELECT pg_catalog.sum(cost) AS cost, pg_catalog.sum(tokens) AS tokens, pg_catalog.sum(calls) AS calls
  FROM rag._spent
  WHERE hour >= p.began AND (b.role IS NULL OR role = b.role) AND (b.server IS NULL OR server = b.server)) s;

COMMENT ON VIEW rag._budget_periods IS 'internal: budgets with the period that is now, and what calls on record have taken in it';

CREATE VIEW rag.budget_state WITH (security_barrier) AS
SELECT id,
       role,
       server,
       period,
       period_start,
       period_end,
       cost,
       max_cost,
       greatest(max_cost - cost, 0) AS cost_left,
       tokens,
       max_tokens,
       greatest(max_tokens - tokens, 0) AS tokens_left,
       calls,
       max_calls,
       greatest(max_calls - calls, 0) AS calls_left
FROM rag._budget_periods
WHERE (SELECT EXISTS (SELECT FROM rag._auditors))
   OR ((role IS NULL OR role = current_user)
       AND (server IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_foreign_server s
                                      WHERE s.srvname = server AND pg_catalog.has_server_privilege(s.oid, 'USAGE'))));

GRANT SELECT ON rag.budget_state TO PUBLIC;

COMMENT ON VIEW rag.budget_state IS
'what is left of the budgets that apply to the current role, and of all for members of rag_auditor and superusers; calls under way are not counted yet';
COMMENT ON COLUMN rag.budget_state.role IS 'NULL: all roles together';
COMMENT ON COLUMN rag.budget_state.server IS 'NULL: all providers together';
COMMENT ON COLUMN rag.budget_state.cost IS 'taken in this period';
COMMENT ON COLUMN rag.budget_state.tokens IS 'taken in this period, in and out';
COMMENT ON COLUMN rag.budget_state.calls IS 'made in this period';

CREATE FUNCTION rag.create_session(
  title text DEFAULT NULL,
  collection text DEFAULT NULL,
  persona text DEFAULT NULL,
  model text DEFAULT NULL
) RETURNS bigint
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'create_session_wrapper';

CREATE FUNCTION rag.delete_session(
  session bigint
) RETURNS void
STRICT VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'delete_session_wrapper';

CREATE FUNCTION rag.feedback(
  message bigint,
  score INT,
  comment text DEFAULT NULL
) RETURNS void
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'feedback_wrapper';

CREATE FUNCTION rag.generate(
  prompt text,
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS text
VOLATILE PARALLEL RESTRICTED COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'generate_wrapper';

CREATE FUNCTION rag.generate(
  prompts text[],
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS text[]
VOLATILE PARALLEL RESTRICTED  COST 10000000
LANGUAGE c AS 'MODULE_PATHNAME', 'generate_many_wrapper';

CREATE FUNCTION rag.generate(
  messages jsonb,
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS text
VOLATILE PARALLEL RESTRICTED  COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'generate_messages_wrapper';

CREATE FUNCTION rag.generate_json(
  prompt text,
  schema jsonb,
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS jsonb
VOLATILE PARALLEL RESTRICTED COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'generate_json_wrapper';

CREATE FUNCTION rag.next(
  id bigint,
  after INT DEFAULT 0,
  wait_ms INT DEFAULT 1000
) RETURNS TABLE (
  seq INT,
  piece text,
  status text
)
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'next_wrapper';

CREATE FUNCTION rag.rerank(
  query text,
  documents text[],
  model text
) RETURNS TABLE (
  rank INT,
  ordinal INT,
  score double precision
)
VOLATILE PARALLEL RESTRICTED COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'rerank_wrapper';

COMMENT ON FUNCTION rag.rerank(text, text[], text) IS
'documents in the order in which a provider''s reranking model finds that they answer a question; ordinal is the place in the array, NULLs are left out';

CREATE FUNCTION rag.result(
  id bigint
) RETURNS jsonb
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'result_wrapper';

CREATE FUNCTION rag.set_persona(
  name text,
  instructions text,
  style text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  model text DEFAULT NULL
) RETURNS INT
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'set_persona_wrapper';

-- Conversations: sessions with their messages, personas, and what readers think of the answers.

-- Read through views: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Roles go by name, since no number of theirs outlives a restore.
CREATE TABLE rag.personas (
  name text NOT NULL,
  version integer NOT NULL,
  owner name NOT NULL,
  instructions text NOT NULL,
  style text,
  temperature double precision,
  model text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (name, version)
);

CREATE TABLE rag._sessions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner name NOT NULL,
  title text,
  collection text,
  persona text,
  model text,
  summary text,
  summarised bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

CREATE INDEX _sessions_owner ON rag._sessions (owner, updated_at);

CREATE TABLE rag._messages (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  session bigint NOT NULL REFERENCES rag._sessions ON DELETE CASCADE,
  role text NOT NULL CHECK (role IN ('user', 'assistant')),
  content text NOT NULL,
  question text,
  citations jsonb,
  answered boolean,
  persona text,
  persona_version integer,
  model text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

CREATE INDEX _messages_session ON rag._messages (session, id);

CREATE TABLE rag._feedback (
  message bigint PRIMARY KEY REFERENCES rag._messages ON DELETE CASCADE,
  score integer NOT NULL CHECK (score BETWEEN -1 AND 1),
  comment text,
  given_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

SELECT pg_catalog.pg_extension_config_dump('rag.personas', '');
SELECT pg_catalog.pg_extension_config_dump('rag._sessions', '');
SELECT pg_catalog.pg_extension_config_dump('rag._sessions_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('rag._messages', '');
SELECT pg_catalog.pg_extension_config_dump('rag._messages_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('rag._feedback', '');

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see.
CREATE VIEW rag.sessions WITH (security_barrier) AS
SELECT id, owner, title, collection, persona, model, summary, created_at, updated_at
FROM rag._sessions
WHERE owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors));

CREATE VIEW rag.messages WITH (security_barrier) AS
SELECT m.id, m.session, m.role, m.content, m.question, m.citations, m.answered, m.persona, m.persona_version, m.model,
       m.created_at
FROM rag._messages m
JOIN rag._sessions s ON s.id = m.session
WHERE s.owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors));

CREATE VIEW rag.message_feedback WITH (security_barrier) AS
SELECT f.message, m.session, s.owner, f.score, f.comment, f.given_at, m.persona, m.persona_version, m.model, m.question,
       m.content AS answer
FROM rag._feedback f
JOIN rag._messages m ON m.id = f.message
JOIN rag._sessions s ON s.id = m.session
WHERE s.owner = current_user OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.personas, rag.sessions, rag.messages, rag.message_feedback TO PUBLIC;

COMMENT ON TABLE rag.personas IS 'how language models are to behave, in versions: the newest one is used; made by rag.set_persona';
COMMENT ON COLUMN rag.personas.owner IS 'who may make further versions';
COMMENT ON COLUMN rag.personas.instructions IS 'what the model is told to be and do';
COMMENT ON COLUMN rag.personas.style IS 'how it is to write';
COMMENT ON COLUMN rag.personas.temperature IS 'randomness; NULL: the provider''s own';
COMMENT ON COLUMN rag.personas.model IS 'server/model for sessions that name none';
COMMENT ON TABLE rag._sessions IS 'internal: conversations; see rag.sessions';
COMMENT ON SEQUENCE rag._sessions_id_seq IS 'internal: numbers of sessions';
COMMENT ON INDEX rag._sessions_owner IS 'internal: the sessions of a role';
COMMENT ON COLUMN rag._sessions.summarised IS 'number of the last message that the summary has';
COMMENT ON TABLE rag._messages IS 'internal: what was said; see rag.messages';
COMMENT ON SEQUENCE rag._messages_id_seq IS 'internal: numbers of messages';
COMMENT ON INDEX rag._messages_session IS 'internal: the messages of a session';
COMMENT ON TABLE rag._feedback IS 'internal: what readers think of answers; see rag.message_feedback';
COMMENT ON VIEW rag.sessions IS 'one''s own conversations, and everybody''s for members of rag_auditor and superusers';
COMMENT ON COLUMN rag.sessions.title IS 'given, or the beginning of the first message';
COMMENT ON COLUMN rag.sessions.collection IS 'that it is answered from';
COMMENT ON COLUMN rag.sessions.summary IS 'of messages that no longer fit into the model''s window';
COMMENT ON VIEW rag.messages IS 'what was said in the sessions of rag.sessions';
COMMENT ON COLUMN rag.messages.question IS 'of an answer from a collection: the question as it was searched for, independent of what was said before';
COMMENT ON COLUMN rag.messages.citations IS 'of an answer from a collection: as rag.ask gives them';
COMMENT ON COLUMN rag.messages.answered IS 'false where the collection does not answer the question';
COMMENT ON VIEW rag.message_feedback IS 'what was said of answers by rag.feedback, with the answer';

COMMENT ON FUNCTION rag.create_session(text, text, text, text) IS
'a new conversation of the current role; gives its number. What is set here can be changed with each message';
COMMENT ON FUNCTION rag.delete_session(bigint) IS 'forgets a conversation of the current role with all of its messages';
COMMENT ON FUNCTION rag.set_persona(text, text, text, float8, text) IS
'makes a persona, or its next version, which sessions use from their next message on; gives the version';
COMMENT ON FUNCTION rag.chat(bigint, text, text, text, text, int, int, int) IS
'says something in a session and gives the answer: from the session''s collection with citations, or by a language model alone. Collection, persona and model stay for the messages after it';
COMMENT ON FUNCTION rag.chat_stream(bigint, text, text, text, text, int, int, int) IS
'rag.chat with the answer''s pieces as they come: use it in the select list, and read it through a cursor to its end, where the answer is written down';
COMMENT ON FUNCTION rag.feedback(bigint, int, text) IS 'keeps what a reader thinks of an answer in a session of his: score is 1, 0 or -1';

ALTER FUNCTION rag.chat ROWS 1;
ALTER FUNCTION rag.chat_stream ROWS 200;

CREATE FUNCTION rag.stream(
  prompt text DEFAULT NULL,
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  messages jsonb DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS SETOF text
VOLATILE PARALLEL RESTRICTED COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'stream_wrapper';

CREATE FUNCTION rag.submit(
  kind text,
  args jsonb,
  idempotency_key text DEFAULT NULL
) RETURNS bigint
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'submit_wrapper';

CREATE FUNCTION rag.try_ask(
  collection text,
  question text,
  model text DEFAULT NULL,
  k INT DEFAULT 5,
  mode text DEFAULT 'hybrid',
  filter jsonb DEFAULT NULL,
  min_similarity double precision DEFAULT NULL,
  instructions text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  timeout_ms INT DEFAULT NULL
) RETURNS TABLE (
  answer text,
  citations jsonb,
  model text,
  answered bool,
  similarity double precision,
  finish_reason text
)
VOLATILE PARALLEL UNSAFE COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'try_ask_wrapper';

-- What answers from a collection are for those who look them up.

COMMENT ON FUNCTION rag.ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) IS
'answer to a question out of a collection, of rows that the caller may read, with citations; model is server/model, NULL is rag.default_llm, of which local/extractive quotes the passages and needs no provider; answered is false where the collection does not say';
COMMENT ON FUNCTION rag.try_ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) IS
'rag.ask, but a row of NULLs where that would fail';

ALTER FUNCTION rag.ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) ROWS 1;
ALTER FUNCTION rag.try_ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) ROWS 1;

CREATE FUNCTION rag.try_generate(
  prompt text,
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS text
VOLATILE PARALLEL RESTRICTED COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'try_generate_wrapper';

CREATE FUNCTION rag.try_generate(
  prompts text[],
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS text[]
VOLATILE PARALLEL RESTRICTED  COST 10000000
LANGUAGE c AS 'MODULE_PATHNAME', 'try_generate_many_wrapper';

CREATE FUNCTION rag.try_generate_json(
  prompt text,
  schema jsonb,
  model text DEFAULT NULL,
  system text DEFAULT NULL,
  temperature double precision DEFAULT NULL,
  max_tokens INT DEFAULT NULL,
  stop text[] DEFAULT NULL,
  seed bigint DEFAULT NULL,
  timeout_ms INT DEFAULT NULL,
  options jsonb DEFAULT NULL
) RETURNS jsonb
VOLATILE PARALLEL RESTRICTED COST 1000000
LANGUAGE c AS 'MODULE_PATHNAME', 'try_generate_json_wrapper';

ALTER FUNCTION rag.stream ROWS 200;
ALTER FUNCTION rag.call ROWS 1;

COMMENT ON FUNCTION rag.generate(text, text, text, float8, int, text[], bigint, int, jsonb) IS
'answer of a provider''s language model; model is server/model, NULL is rag.default_llm';
COMMENT ON FUNCTION rag.generate(jsonb, text, text, float8, int, text[], bigint, int, jsonb) IS
'answer to a conversation: messages is [{"role": "user", "content": "…"}, …]';
COMMENT ON FUNCTION rag.generate(text[], text, text, float8, int, text[], bigint, int, jsonb) IS
'answers to many prompts, several of them asked at once, in the order of the prompts; NULL for NULL';
COMMENT ON FUNCTION rag.try_generate(text, text, text, float8, int, text[], bigint, int, jsonb) IS
'rag.generate, but NULL where that would fail';
COMMENT ON FUNCTION rag.try_generate(text[], text, text, float8, int, text[], bigint, int, jsonb) IS
'rag.generate of many prompts, with NULL for each that fails';
COMMENT ON FUNCTION rag.generate_json(text, jsonb, text, text, float8, int, text[], bigint, int, jsonb) IS
'answer that meets a JSON Schema: it is checked, and the model is asked once to mend it';
COMMENT ON FUNCTION rag.try_generate_json(text, jsonb, text, text, float8, int, text[], bigint, int, jsonb) IS
'rag.generate_json, but NULL where that would fail';
COMMENT ON FUNCTION rag.call(text, text, text, jsonb, jsonb, jsonb, float8, int, text[], bigint, int, jsonb) IS
'answer of a language model with all that is known of it; tools and tool_calls are written as OpenAI writes them, cost is by the server''s prices';
COMMENT ON FUNCTION rag.stream(text, text, text, jsonb, float8, int, text[], bigint, int, jsonb) IS
'pieces of an answer as they come: use it in the select list, and read it through a cursor';
COMMENT ON FUNCTION rag.count_tokens(text, text) IS
'tokens of a text by the tokenizer of an installed model; of a provider''s model that is an estimate';

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
       idempotency_key
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

ALTER FUNCTION rag.next(bigint, integer, integer) ROWS 10;

CREATE PROCEDURE rag.wait(id bigint, timeout interval DEFAULT NULL)
LANGUAGE c AS 'MODULE_PATHNAME', 'ragstone_wait';

COMMENT ON FUNCTION rag.submit(text, jsonb, text) IS
'have a function called in a process of its own, as the current role, when the transaction commits; kind is embed, search, refresh, generate, ask or chat, args are its named arguments. The same idempotency key gives the same job. Gives the job''s number';
COMMENT ON FUNCTION rag.next(bigint, integer, integer) IS
'pieces of a job''s answer after a number, as soon as there are some, and the job''s status in each row; one row without a piece where there are none. Where seq - 1 is a multiple of 1,000,000 the answer begins anew. wait_ms is the longest wait';
COMMENT ON FUNCTION rag.result(bigint) IS
'what a job gave; raises the error with which it failed, and 57014 where it was cancelled; NULL while it has not ended';
COMMENT ON FUNCTION rag.cancel(bigint) IS
'cancel a job that has not ended; false if it has. One that runs is interrupted, and is cancelled as soon as it has noticed';
COMMENT ON PROCEDURE rag.wait(bigint, interval) IS
'wait until a job has ended, without a snapshot; an error (57014) when the timeout is over before. Not in a transaction block';


-- Conversations: sessions with their messages, personas, and ratings of answers.

-- The tables are read through views: pg_dump would dump policies of an extension's table separately from the extension, and the restore
-- would fail. rag._owner has the role of each owner's name.
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

-- A security barrier, so that functions in a reader's query do not see other roles' rows.
CREATE VIEW rag.sessions WITH (security_barrier) AS
SELECT id, owner, title, collection, persona, model, summary, created_at, updated_at
FROM rag._sessions
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

CREATE VIEW rag.messages WITH (security_barrier) AS
SELECT m.id, m.session, m.role, m.content, m.question, m.citations, m.answered, m.persona, m.persona_version, m.model,
       m.created_at
FROM rag._messages m
JOIN rag._sessions s ON s.id = m.session
WHERE s.owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

CREATE VIEW rag.message_feedback WITH (security_barrier) AS
SELECT f.message, m.session, s.owner, f.score, f.comment, f.given_at, m.persona, m.persona_version, m.model, m.question,
       m.content AS answer
FROM rag._feedback f
JOIN rag._messages m ON m.id = f.message
JOIN rag._sessions s ON s.id = m.session
WHERE s.owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.personas, rag.sessions, rag.messages, rag.message_feedback TO PUBLIC;

COMMENT ON TABLE rag.personas IS 'instructions for language models, in versions: the newest one is used; made by rag.set_persona';
COMMENT ON COLUMN rag.personas.owner IS 'role that may add versions';
COMMENT ON COLUMN rag.personas.instructions IS 'system instructions for the model';
COMMENT ON COLUMN rag.personas.style IS 'instructions on how to write';
COMMENT ON COLUMN rag.personas.temperature IS 'randomness; NULL: the provider''s default';
COMMENT ON COLUMN rag.personas.model IS 'server/model for sessions that name none';
COMMENT ON TABLE rag._sessions IS 'internal: conversations; see rag.sessions';
COMMENT ON SEQUENCE rag._sessions_id_seq IS 'internal: ids of sessions';
COMMENT ON INDEX rag._sessions_owner IS 'internal: the sessions of a role';
COMMENT ON COLUMN rag._sessions.summarised IS 'id of the last message that the summary covers';
COMMENT ON TABLE rag._messages IS 'internal: messages; see rag.messages';
COMMENT ON SEQUENCE rag._messages_id_seq IS 'internal: ids of messages';
COMMENT ON INDEX rag._messages_session IS 'internal: the messages of a session';
COMMENT ON TABLE rag._feedback IS 'internal: ratings of answers; see rag.message_feedback';
COMMENT ON VIEW rag.sessions IS 'the current role''s conversations; members of rag_auditor and superusers see all';
COMMENT ON COLUMN rag.sessions.title IS 'as given, or the beginning of the first message';
COMMENT ON COLUMN rag.sessions.collection IS 'collection that answers come from';
COMMENT ON COLUMN rag.sessions.summary IS 'summary of messages that no longer fit into the model''s window';
COMMENT ON VIEW rag.messages IS 'messages of the sessions in rag.sessions';
COMMENT ON COLUMN rag.messages.question IS 'for an answer from a collection: the question that was searched for, understandable without the messages before it';
COMMENT ON COLUMN rag.messages.citations IS 'for an answer from a collection: as rag.ask returns them';
COMMENT ON COLUMN rag.messages.answered IS 'false if the collection does not answer the question, or the model''s answer is empty, cut, refused or filtered';
COMMENT ON VIEW rag.message_feedback IS 'ratings of answers by rag.feedback, with question and answer';

COMMENT ON FUNCTION rag.create_session(text, text, text, text) IS
'begin a conversation of the current role; returns its number';
COMMENT ON FUNCTION rag.delete_session(bigint) IS 'delete a conversation of the current role with all its messages';
COMMENT ON FUNCTION rag.set_persona(text, text, text, float8, text) IS
'create a persona or its next version, which sessions use from their next message on; returns the version';
COMMENT ON FUNCTION rag.chat(bigint, text, text, text, text, int, int, int) IS
'send a message in a session and return the answer: from the session''s collection with citations, or by a language model alone';
COMMENT ON FUNCTION rag.chat_stream(bigint, text, text, text, text, int, int, int) IS
'pieces of rag.chat''s answer as they arrive; use it in the select list, and read it through a cursor to its end, where the answer is stored';
COMMENT ON FUNCTION rag.feedback(bigint, int, text) IS 'rate an answer in a session of the current role';

ALTER FUNCTION rag.chat ROWS 1;
ALTER FUNCTION rag.chat_stream ROWS 200;

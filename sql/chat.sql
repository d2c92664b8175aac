-- Conversations: sessions with their messages, personas, and what readers think of the answers.

-- Read through views: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Whom a name of an owner stands for is in rag._owner.
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

-- Conversations that are remembered, about a collection or about anything.
--   psql -f examples/psql/chat.sql                     is answered from the collection; needs no provider
--   psql -v url=… -v key=… -f examples/psql/chat.sql   and talks with a provider's model
\ir providers.sql
\ir library.sql

-- A session belongs to the role that made it. Its answers come from the collection, with citations.
SELECT rag.create_session('At the desk', collection => 'library', model => 'local/extractive') AS session \gset
SELECT message_id, answer FROM rag.chat(:session, 'How many books may I borrow?') \gset
SELECT :'answer' AS answer;
SELECT rag.feedback(:message_id, 1, 'short and right') \g /dev/null

\if :{?url}
  -- A question that needs what was said before is made one that stands alone, and that is searched for.
  SELECT question AS searched_for FROM rag.chat(:session, 'And for how long may I keep them?', model => :'model', max_tokens => 24);

  -- A persona is a row with versions: who changes it changes the sessions that have it from their next message on.
  SELECT rag.set_persona('librarian', 'You are a friendly librarian.', style => 'One short sentence.', temperature => 0) AS version;

  -- Without a collection the model answers by itself, and reads what was said before.
  SELECT rag.create_session('Small talk', persona => 'librarian', model => :'model') AS talk \gset
  SELECT answer AS reply, persona FROM rag.chat(:talk, 'My name is Ann and I like the sea.', max_tokens => 24);
  SELECT rag.chat_stream(:talk, 'What do I like?', max_tokens => 24) AS piece;
\endif

-- What was said, and what was thought of it. Other roles see nothing of that.
SELECT session.title, message.role, left(message.content, 60) AS content
  FROM rag.messages AS message JOIN rag.sessions AS session ON session.id = message.session
 WHERE session.title IN ('At the desk', 'Small talk')
 ORDER BY message.id;
SELECT score, comment, answer FROM rag.message_feedback WHERE session = :session;
SELECT rag.delete_session(id) FROM rag.sessions WHERE title IN ('At the desk', 'Small talk') \g /dev/null

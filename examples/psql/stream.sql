-- An answer piece by piece, through a cursor.
--   psql -v url=http://127.0.0.1:8080/v1 -v key=… -f examples/psql/stream.sql
\ir providers.sql

-- rag.stream belongs into the select list: in FROM, Postgres would wait for the last piece before it shows the first.
BEGIN;
DECLARE answer NO SCROLL CURSOR FOR
  SELECT rag.stream('Tell me about the sea.', model => :'model', temperature => 0, max_tokens => 24) AS piece,
         to_char(clock_timestamp(), 'SS.MS') AS came;
FETCH 1 FROM answer;
FETCH 5 FROM answer;
FETCH ALL FROM answer;
CLOSE answer;
COMMIT;

-- Who has read enough closes the cursor. That ends the call, and the provider stops as well.
BEGIN;
DECLARE novel NO SCROLL CURSOR FOR
  SELECT rag.stream('Write a long novel.', model => :'model', temperature => 0, max_tokens => 1500) AS beginning;
FETCH 3 FROM novel;
CLOSE novel;
COMMIT;

-- psql makes the cursor by itself where it is told how many rows to fetch at once.
\set FETCH_COUNT 1
SELECT rag.stream('Name three colours.', model => :'model', temperature => 0, max_tokens => 12) AS piece;
\unset FETCH_COUNT

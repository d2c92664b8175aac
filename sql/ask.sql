-- Comments and row estimates of rag.ask and rag.try_ask.

COMMENT ON FUNCTION rag.ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) IS
'answer to a question from the rows of a collection that the caller may read, with citations';
COMMENT ON FUNCTION rag.try_ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) IS
'rag.ask, with a row of NULLs instead of an error';

ALTER FUNCTION rag.ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) ROWS 1;
ALTER FUNCTION rag.try_ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) ROWS 1;

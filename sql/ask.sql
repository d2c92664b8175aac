-- What answers from a collection are for those who look them up.

COMMENT ON FUNCTION rag.ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) IS
'answer to a question out of a collection, of rows that the caller may read, with citations; model is server/model, NULL is rag.default_llm, of which local/extractive quotes the passages and needs no provider; answered is false where the collection does not say';
COMMENT ON FUNCTION rag.try_ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) IS
'rag.ask, but a row of NULLs where that would fail';

ALTER FUNCTION rag.ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) ROWS 1;
ALTER FUNCTION rag.try_ask(text, text, text, int, text, jsonb, float8, text, float8, int, int) ROWS 1;

ALTER FUNCTION rag.stream ROWS 200;
ALTER FUNCTION rag.complete ROWS 1;

COMMENT ON FUNCTION rag.generate(text, text, text, float8, int, text[], bigint, int, jsonb, text) IS
'answer of a provider''s language model to a prompt';
COMMENT ON FUNCTION rag.generate(jsonb, text, text, float8, int, text[], bigint, int, jsonb, text) IS
'answer of a provider''s language model to a conversation';
COMMENT ON FUNCTION rag.generate(text[], text, text, float8, int, text[], bigint, int, jsonb, text) IS
'answers to many prompts, in their order, several requested at once; NULL for NULL';
COMMENT ON FUNCTION rag.generate_json(text, jsonb, text, text, float8, int, text[], bigint, int, jsonb, text) IS
'answer that is validated against a JSON Schema; the model is asked once to correct it';
COMMENT ON FUNCTION rag.complete(text, text, text, jsonb, jsonb, jsonb, float8, int, text[], bigint, int, jsonb) IS
'answer of a language model with its tool calls, tokens, cost and latency';
COMMENT ON FUNCTION rag.stream(text, text, text, jsonb, float8, int, text[], bigint, int, jsonb) IS
'pieces of an answer as they arrive; use it in the select list, and read it through a cursor';
COMMENT ON FUNCTION rag.count_tokens(text, text) IS
'number of tokens of a text by the tokenizer of an installed model; an estimate for a provider''s model';

ALTER FUNCTION rag.stream ROWS 200;
ALTER FUNCTION rag.complete ROWS 1;

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
COMMENT ON FUNCTION rag.complete(text, text, text, jsonb, jsonb, jsonb, float8, int, text[], bigint, int, jsonb) IS
'answer of a language model with all that is known of it; tools and tool_calls are written as OpenAI writes them, cost is by the server''s prices';
COMMENT ON FUNCTION rag.stream(text, text, text, jsonb, float8, int, text[], bigint, int, jsonb) IS
'pieces of an answer as they come: use it in the select list, and read it through a cursor';
COMMENT ON FUNCTION rag.count_tokens(text, text) IS
'tokens of a text by the tokenizer of an installed model; of a provider''s model that is an estimate';

-- Logs that others have written: see docs/parsing.md.

CREATE FUNCTION rag.parse_log(content text, format text DEFAULT 'auto')
RETURNS TABLE (line integer, syntax text, run text, span text, parent text, kind text, name text, started timestamptz,
               duration_ms double precision, input jsonb, output jsonb, model text, input_tokens bigint, output_tokens bigint,
               cost double precision, status text, error text, attributes jsonb, raw text)
LANGUAGE c IMMUTABLE PARALLEL RESTRICTED COST 10000 AS 'MODULE_PATHNAME', 'ragstone_parse_log';

COMMENT ON FUNCTION rag.parse_log(text, text) IS
'steps found in a log: JSON lines, logfmt, Python logging, LangChain and LangGraph events and runs, OpenTelemetry JSON; format is auto, json, logfmt, python, langchain or otlp; a line that is not understood is a row with raw';

CREATE FUNCTION rag.parse_log(content bytea, format text DEFAULT 'auto')
RETURNS TABLE (line integer, syntax text, run text, span text, parent text, kind text, name text, started timestamptz,
               duration_ms double precision, input jsonb, output jsonb, model text, input_tokens bigint, output_tokens bigint,
               cost double precision, status text, error text, attributes jsonb, raw text)
LANGUAGE c IMMUTABLE PARALLEL RESTRICTED COST 10000 AS 'MODULE_PATHNAME', 'ragstone_parse_log_bytes';

COMMENT ON FUNCTION rag.parse_log(bytea, text) IS
'steps found in a log whose bytes need not be valid UTF-8: what is not is shown as U+FFFD, with a NOTICE that counts it';

COMMENT ON FUNCTION rag.import_log(text, text, text, jsonb) IS
'writes the steps of a log into rag.runs and rag.steps, in the caller''s transaction and as the caller''s own: a run for each that the log names; unknown counts the lines that were not understood, which are kept as steps';
COMMENT ON FUNCTION rag.import_log(bytea, text, text, jsonb) IS
'the same for a log whose bytes need not be valid UTF-8';

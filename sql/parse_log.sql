-- Logs written by other programs: see docs/parsing.md.

CREATE FUNCTION rag.parse_log(content text, format text DEFAULT 'auto', timezone text DEFAULT NULL, fields jsonb DEFAULT NULL)
RETURNS TABLE (line integer, syntax text, run text, span text, parent text, kind text, name text, started timestamptz,
               duration_ms double precision, input jsonb, output jsonb, model text, input_tokens bigint, output_tokens bigint,
               cost double precision, status text, error text, attributes jsonb, raw text)
LANGUAGE c IMMUTABLE PARALLEL RESTRICTED COST 10000 AS 'MODULE_PATHNAME', 'ragstone_parse_log';

COMMENT ON FUNCTION rag.parse_log(text, text, text, jsonb) IS
'steps in a log: JSON lines, logfmt, Python logging, LangChain and LangGraph events and runs, OpenTelemetry JSON, lines of servers; timezone: of times without one; fields: columns and units of field names; a line of no known format is a row with raw';

CREATE FUNCTION rag.parse_log(content bytea, format text DEFAULT 'auto', timezone text DEFAULT NULL, fields jsonb DEFAULT NULL)
RETURNS TABLE (line integer, syntax text, run text, span text, parent text, kind text, name text, started timestamptz,
               duration_ms double precision, input jsonb, output jsonb, model text, input_tokens bigint, output_tokens bigint,
               cost double precision, status text, error text, attributes jsonb, raw text)
LANGUAGE c IMMUTABLE PARALLEL RESTRICTED COST 10000 AS 'MODULE_PATHNAME', 'ragstone_parse_log_bytes';

COMMENT ON FUNCTION rag.parse_log(bytea, text, text, jsonb) IS
'steps in a log that need not be valid UTF-8: invalid bytes become U+FFFD, with a NOTICE that counts them';

COMMENT ON FUNCTION rag.import_log(text, text, text, jsonb, text, jsonb) IS
'write the steps of a log into rag.runs and rag.steps, as the caller''s own';
COMMENT ON FUNCTION rag.import_log(bytea, text, text, jsonb, text, jsonb) IS
'rag.import_log of a log that need not be valid UTF-8';

-- Runs and steps as OpenTelemetry spans.

-- Ids are hashes, so that each export has the same ones. A run without a trace of the application is a trace of its own. The start time is
-- part of the hash, so that runs of other databases have other ids.
CREATE FUNCTION rag._span_id(what text, id bigint, began timestamptz) RETURNS text LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(what, 'UTF8') || pg_catalog.int8send(id)
                                             || pg_catalog.timestamptz_send(began)), 'hex');
END;

CREATE FUNCTION rag._unix_nano(moment timestamptz, plus_ms double precision) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  -- A time that OTLP cannot represent becomes 0.
  SELECT CASE WHEN moment > 'epoch' AND moment < '2250-01-01 00:00:00+00'
              THEN (extract(epoch FROM moment) * 1000000000::numeric
                    + pg_catalog.round(greatest(least(coalesce(plus_ms, 0), 1e12), 0)::numeric * 1000000::numeric))::bigint::text
              ELSE '0' END;
END;

CREATE FUNCTION rag._spans(content boolean) RETURNS TABLE (
  trace_id text, span_id text, parent_span_id text, name text, kind integer, start_time_unix_nano text, end_time_unix_nano text,
  attributes jsonb, status jsonb, run_id bigint, step_id bigint, owner name, agent text, started timestamptz
) LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT coalesce(r.trace_id, pg_catalog.substr(rag._span_id('ragstone trace', r.id, r.started), 1, 32)),
         pg_catalog.substr(rag._span_id('ragstone run', r.id, r.started), 1, 16),
         r.parent_span_id,
         rag._span_name(NULL, r.agent, NULL),
         1,
         rag._unix_nano(r.started, 0),
         rag._unix_nano(coalesce(r.finished, r.started), 0),
         rag._span_attributes(CASE WHEN content THEN to_jsonb(r) ELSE to_jsonb(r) - '{input,output}'::text[] END),
         CASE WHEN r.status = 'failed' OR r.error IS NOT NULL
              THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('code', 2, 'message', r.error))
              ELSE '{"code": 0}' END,
         r.id,
         NULL::bigint,
         r.owner,
         r.agent,
         r.started
  FROM rag.runs r
  UNION ALL
  SELECT coalesce(r.trace_id, pg_catalog.substr(rag._span_id('ragstone trace', r.id, r.started), 1, 32)),
         pg_catalog.substr(rag._span_id('ragstone step', s.id, r.started), 1, 16),
         CASE WHEN s.parent_id IS NULL THEN pg_catalog.substr(rag._span_id('ragstone run', r.id, r.started), 1, 16)
              ELSE pg_catalog.substr(rag._span_id('ragstone step', s.parent_id, r.started), 1, 16) END,
         rag._span_name(s.kind, s.name, s.model),
         CASE s.kind WHEN 'model' THEN 3 ELSE 1 END,
         rag._unix_nano(s.started, 0),
         rag._unix_nano(s.started, s.duration_ms),
         rag._span_attributes(CASE WHEN content THEN to_jsonb(s) ELSE to_jsonb(s) - '{input,output}'::text[] END),
         CASE WHEN s.status = 'error'
              THEN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('code', 2, 'message', s.error))
              ELSE '{"code": 0}' END,
         s.run_id,
         s.id,
         s.owner,
         s.agent,
         s.started
  FROM rag.steps s
  JOIN rag.runs r ON r.id = s.run_id;
END;

CREATE VIEW rag.spans AS
SELECT span_id AS id, trace_id, span_id, parent_span_id, name, kind, start_time_unix_nano, end_time_unix_nano, attributes, status,
       run_id, step_id, owner, agent, started
FROM rag._spans(false);

GRANT SELECT ON rag.spans TO PUBLIC;

CREATE FUNCTION rag._span_messages(content boolean) RETURNS TABLE (run_id bigint, step_id bigint, started timestamptz, span jsonb)
LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT s.run_id, s.step_id, s.started,
         pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
           'traceId', s.trace_id, 'spanId', s.span_id, 'parentSpanId', s.parent_span_id, 'flags', 1, 'name', s.name,
           'kind', s.kind, 'startTimeUnixNano', s.start_time_unix_nano, 'endTimeUnixNano', s.end_time_unix_nano,
           'status', s.status)) || pg_catalog.jsonb_build_object('attributes', s.attributes)
  FROM rag._spans(content) s;
END;

CREATE FUNCTION rag._otlp(spans jsonb) RETURNS jsonb LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
  SELECT pg_catalog.jsonb_build_object('resourceSpans', pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
    'resource', pg_catalog.jsonb_build_object('attributes', pg_catalog.jsonb_build_array(
      pg_catalog.jsonb_build_object('key', 'service.name', 'value', pg_catalog.jsonb_build_object('stringValue', 'ragstone')),
      pg_catalog.jsonb_build_object('key', 'db.namespace', 'value',
                                    pg_catalog.jsonb_build_object('stringValue', pg_catalog.current_database())))),
    'scopeSpans', pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
      'scope', pg_catalog.jsonb_build_object('name', 'ragstone', 'version', rag._version()),
      'spans', spans,
      'schemaUrl', rag._semconv_url())))));
END;

CREATE FUNCTION rag.otlp(run bigint, content boolean DEFAULT false) RETURNS jsonb LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT rag._otlp(pg_catalog.jsonb_agg(s.span ORDER BY s.started, s.step_id NULLS FIRST))
  FROM rag._span_messages(coalesce(content, false)) s
  WHERE s.run_id = run;
END;

CREATE FUNCTION rag.export_spans(
  since timestamptz, until timestamptz DEFAULT 'infinity', content boolean DEFAULT false, spans_at_once integer DEFAULT 1000
) RETURNS SETOF jsonb LANGUAGE sql STABLE ROWS 100
BEGIN ATOMIC
  SELECT rag._otlp(pg_catalog.jsonb_agg(n.span ORDER BY n.place))
  FROM (
    SELECT s.span, pg_catalog.row_number() OVER (ORDER BY s.started, s.run_id, s.step_id NULLS FIRST) - 1 AS place
    FROM rag._span_messages(coalesce(content, false)) s
    WHERE s.started >= since AND s.started < coalesce(until, 'infinity')) n
  GROUP BY n.place / greatest(coalesce(spans_at_once, 1000), 1)
  ORDER BY n.place / greatest(coalesce(spans_at_once, 1000), 1);
END;

ALTER FUNCTION rag.trace(bigint, integer, boolean) ROWS 20;

COMMENT ON FUNCTION rag._span_id(text, bigint, timestamptz) IS 'internal: ids of traces and spans';
COMMENT ON FUNCTION rag._unix_nano(timestamptz, double precision) IS 'internal: nanoseconds since 1970';
COMMENT ON FUNCTION rag._spans(boolean) IS 'internal: rows of rag.spans, with inputs and outputs if the argument is true';
COMMENT ON FUNCTION rag._span_messages(boolean) IS 'internal: rows of rag.spans as OTLP writes them in JSON';
COMMENT ON FUNCTION rag._span_name(text, text, text) IS 'internal: name of a span';
COMMENT ON FUNCTION rag._span_attributes(jsonb) IS 'internal: attributes of a span, from a row of rag.runs or rag.steps';
COMMENT ON FUNCTION rag._otlp(jsonb) IS 'internal: spans as a request to a collector';
COMMENT ON FUNCTION rag._version() IS 'internal: version of the library';
COMMENT ON FUNCTION rag._semconv_url() IS 'internal: version of OpenTelemetry''s semantic conventions whose attribute names are used';
COMMENT ON VIEW rag.spans IS
'runs and steps as OTLP spans, with OTLP''s column names; visible as in rag.steps';
COMMENT ON COLUMN rag.spans.id IS 'the same as span_id';
COMMENT ON COLUMN rag.spans.trace_id IS '32 hexadecimal digits';
COMMENT ON COLUMN rag.spans.span_id IS '16 hexadecimal digits';
COMMENT ON COLUMN rag.spans.name IS 'by OpenTelemetry''s conventions for generative AI: invoke_agent support, chat gpt-4o, execute_tool get_order';
COMMENT ON COLUMN rag.spans.kind IS '1: internal, 3: client';
COMMENT ON COLUMN rag.spans.attributes IS 'OTLP''s array of keys and values, without inputs and outputs';
COMMENT ON COLUMN rag.spans.status IS 'code 2: an error, with its message; otherwise 0';
COMMENT ON COLUMN rag.spans.step_id IS 'NULL: the span is the run''s';
COMMENT ON FUNCTION rag.otlp(bigint, boolean) IS
'a run as a request that an OpenTelemetry collector accepts at /v1/traces; NULL if the caller has no such run';
COMMENT ON FUNCTION rag.export_spans(timestamptz, timestamptz, boolean, integer) IS
'runs and steps that began in a period, as requests that an OpenTelemetry collector accepts at /v1/traces';
COMMENT ON FUNCTION rag.trace(bigint, integer, boolean) IS
'a run as a tree to read: a line for each step, under its parent';

-- Reports on the log of agents: sums, percentiles, errors, a run as a tree and as spans.
SET timezone = 'UTC';

-- Times that are the same each time; written is a transaction's that has ended.
INSERT INTO rag._runs (id, owner, agent, status, error, started, finished, written, trace_id, parent_span_id)
VALUES (900001, current_user, 'support', 'done', NULL, '2026-03-02 10:00:00+00', '2026-03-02 10:00:02+00', 10,
        '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'),
       (900002, current_user, 'support', 'failed', 'order 17 not found', '2026-03-02 23:59:59+00', '2026-03-03 00:00:03+00', 10,
        NULL, NULL),
       (900003, 'somebody', 'billing', 'done', NULL, '2026-03-03 10:00:00+00', '2026-03-03 10:00:01+00', 10, NULL, NULL),
       (900004, current_user, 'support', 'running', NULL, '2026-03-03 11:00:00+00', NULL, 10, NULL, NULL);
INSERT INTO rag._steps (id, run_id, number, parent_id, owner, agent, kind, name, model, input, output, input_tokens,
                        output_tokens, cost, started, duration_ms, status, error, sqlstate, written)
VALUES (900001, 900001, 1, NULL, current_user, 'support', 'model', 'chat', 'openai/gpt-4o', '"where is order 17?"', NULL, 812, 12,
        0.0025, '2026-03-02 10:00:00+00', 1000, 'ok', NULL, NULL, 10),
       (900002, 900001, 2, 900001, current_user, 'support', 'tool', 'get_order', NULL, '{"id": 17}', '{"status": "sent"}', NULL, NULL,
        NULL, '2026-03-02 10:00:01+00', 12, 'ok', NULL, NULL, 10),
       (900003, 900001, 3, 900002, current_user, 'support', 'retrieval', 'manual', NULL, NULL, NULL, NULL, NULL, NULL,
        '2026-03-02 10:00:01.004+00', 4, 'ok', NULL, NULL, 10),
       (900004, 900002, 1, NULL, current_user, 'support', 'tool', 'get_order', NULL, '{"id": 17}', NULL, NULL, NULL, NULL,
        '2026-03-02 23:59:59+00', 20, 'error', 'order 17 not found', 'P0002', 10),
       (900005, 900002, 2, NULL, current_user, 'support', 'tool', 'get_order', NULL, '{"id": 18}', NULL, NULL, NULL, NULL,
        '2026-03-03 00:00:01+00', 30, 'error', 'order 18 not found', 'P0002', 10),
       (900006, 900003, 1, NULL, 'somebody', 'billing', 'tool', 'pay', NULL, NULL, NULL, NULL, NULL, NULL,
        '2026-03-03 10:00:00+00', 700, 'ok', NULL, NULL, 10),
       (900007, 900004, 1, NULL, current_user, 'support', 'tool', 'refund', NULL, '{"id": 17}', NULL, NULL, NULL, NULL,
        '2026-03-03 11:00:00+00', NULL, 'waiting', NULL, NULL, 10),
       (900008, 900004, 2, NULL, current_user, 'support', 'custom', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        '2026-03-03 11:00:01+00', 'NaN', 'ok', NULL, NULL, 10);

-- The worker comes with the first run, and adds all that is there to the reports.
SELECT rag.start_run('other') > 0 AS started;
DO $$
BEGIN
  FOR i IN 1..600 LOOP
    EXIT WHEN (SELECT count(*) FROM rag._step_day WHERE day < '2026-04-01') = 8
      AND (SELECT count(*) FROM rag._run_day WHERE day < '2026-04-01') = 3;
    PERFORM pg_sleep(0.1);
    COMMIT;
  END LOOP;
END
$$;

SELECT id, agent, owner = current_user AS own, status, duration_ms, steps, model_calls AS models, tool_calls AS tools, errors, input_tokens,
       output_tokens, cost, last_error, rolled_back
FROM rag.run_summary WHERE id > 900000 ORDER BY id;
SELECT day, agent, runs, done, failed, cancelled, success_rate, p50_ms, p95_ms, steps, model_calls AS models, tool_calls AS tools, errors,
       input_tokens + output_tokens AS tokens, cost
FROM rag.agent_daily WHERE day < '2026-04-01' ORDER BY day, agent;
SELECT id, run_id, agent, kind, name, model, duration_ms, status FROM rag.slowest_steps WHERE id > 900000 LIMIT 4;
SELECT agent, kind, name, sqlstate, error, count, first_seen, last_seen, example, run_id, step_id
FROM rag.error_groups WHERE run_id > 900000 ORDER BY kind;
SELECT tool, agent, calls, errors, error_rate, p50_ms, p95_ms, last_used FROM rag.tool_stats WHERE tool IN ('get_order', 'pay', 'refund');

-- Ids are those of rows, so that they can be keys.
SELECT count(*) = count(DISTINCT id) AS unique FROM rag.agent_daily;
SELECT count(*) = count(DISTINCT id) AS unique FROM rag.error_groups;

-- A run for people.
SELECT * FROM rag.trace(900001);
SELECT * FROM rag.trace(900002, width => 80, ascii => true);
SELECT * FROM rag.trace(900004);
SELECT * FROM rag.trace(900099);
SELECT * FROM rag.trace(NULL);
SELECT * FROM rag.trace(900001, width => 3);

-- A run as spans.
SELECT trace_id, name, kind, start_time_unix_nano, end_time_unix_nano, status, run_id, step_id
FROM rag.spans WHERE run_id IN (900001, 900002) ORDER BY run_id, step_id NULLS FIRST;
SELECT s.name, p.name AS parent
FROM rag.spans s LEFT JOIN rag.spans p ON p.span_id = s.parent_span_id
WHERE s.run_id = 900001 ORDER BY s.step_id NULLS FIRST;
SELECT parent_span_id FROM rag.spans WHERE run_id = 900001 AND step_id IS NULL;
SELECT a ->> 'key' AS key, a -> 'value' AS value
FROM rag.spans, jsonb_array_elements(attributes) a
WHERE step_id IN (900001, 900004) AND a ->> 'key' NOT IN ('ragstone.owner')
ORDER BY step_id, 1;
SELECT jsonb_path_query_array(rag.otlp(900001), '$.resourceSpans[*].scopeSpans[*].spans[*].name') AS names,
       jsonb_path_query_array(rag.otlp(900001, content => true), '$.resourceSpans[*].scopeSpans[*].spans[*].attributes[*] ? (@.key == "gen_ai.tool.call.arguments").value') AS content,
       rag.otlp(900099) AS nothing;
SELECT jsonb_array_length(d #> '{resourceSpans,0,scopeSpans,0,spans}') AS spans
FROM rag.export_spans('2026-03-02', '2026-03-03', spans_at_once => 4) d;

-- Other roles see none of it, and no role sees the sums themselves.
CREATE ROLE reports_reader;
SET ROLE reports_reader;
SELECT (SELECT count(*) FROM rag.run_summary) AS runs, (SELECT count(*) FROM rag.agent_daily) AS days,
       (SELECT count(*) FROM rag.slowest_steps) AS slow, (SELECT count(*) FROM rag.error_groups) AS errors,
       (SELECT count(*) FROM rag.tool_stats) AS tools, (SELECT count(*) FROM rag.spans) AS spans, rag.otlp(900001) AS otlp;
SELECT * FROM rag.trace(900001);
SELECT count(*) FROM rag._step_day;
RESET ROLE;
GRANT rag_auditor TO reports_reader;
SET ROLE reports_reader;
SELECT (SELECT count(*) FROM rag.run_summary WHERE id > 900000) AS runs, (SELECT count(*) FROM rag.tool_stats WHERE agent IN ('support', 'billing')) AS tools;
RESET ROLE;
DROP ROLE reports_reader;

DELETE FROM rag._steps WHERE id > 900000;
DELETE FROM rag._runs WHERE id > 900000;

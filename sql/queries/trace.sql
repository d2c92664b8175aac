-- Steps of a run in their order, with texts cut to the length of a line.
SELECT id, parent_id, kind, name, model, input_tokens, output_tokens, cost, started, duration_ms, status, left(error, 1000),
       left(CASE jsonb_typeof(input) WHEN 'string' THEN input #>> '{}' ELSE input::text END, 1000),
       left(CASE jsonb_typeof(output) WHEN 'string' THEN output #>> '{}' ELSE output::text END, 1000)
FROM rag.steps
WHERE run_id = $1
ORDER BY started, number, id

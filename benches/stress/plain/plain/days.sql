CREATE VIEW plain_day AS
SELECT row_number() OVER (ORDER BY run.day, run.agent) AS id, run.*, step.input_tokens, step.output_tokens, step.cost, step.errors
FROM (SELECT started::date AS day, agent, count(*) AS runs,
             count(*) FILTER (WHERE status = 'done') AS done,
             count(*) FILTER (WHERE status = 'failed') AS failed,
             count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
             percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished - started) * 1000) AS p50_ms,
             percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished - started) * 1000) AS p95_ms
      FROM plain_run GROUP BY 1, 2) AS run
JOIN (SELECT run.started::date AS day, agent, coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
             coalesce(sum(output_tokens), 0)::bigint AS output_tokens, coalesce(sum(cost), 0) AS cost,
             count(*) FILTER (WHERE step.status = 'error') AS errors
      FROM plain_step AS step JOIN plain_run AS run ON run.id = step.run_id GROUP BY 1, 2) AS step USING (day, agent);

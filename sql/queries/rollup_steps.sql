-- Adds the next steps to the sums of the reports, at most $3, in the order of (written, id) after ($1, $2): see src/agent_log/rollup.rs.
-- Returns their number, whether the stored position was still ($1, $2), and the days whose longest steps have changed. If not all steps can
-- be added, some groups are, and the position is moved afterwards: see src/agent_log/report_gaps.rs.
WITH batch AS MATERIALIZED (
  SELECT s.id,
         s.written,
         s.run_id,
         (s.started AT TIME ZONE 'UTC')::date AS day,
         s.owner,
         left(s.agent, 150) AS agent,
         s.kind,
         left(coalesce(s.name, ''), 150) AS name,
         left(coalesce(s.model, ''), 150) AS model,
         CASE WHEN s.status IN ('approved', 'rejected') THEN 'waiting' ELSE s.status END AS status,
         s.input_tokens,
         s.output_tokens,
         s.cost,
         s.started,
         s.duration_ms,
         s.error,
         s.sqlstate
  FROM rag._steps s
  WHERE (s.written, s.id) > ($1, $2) AND {which} AND {groups}
  ORDER BY s.written, s.id
  LIMIT $3
),
place AS (
  UPDATE rag._totals_progress t
  SET written = b.written, step_id = b.id, folded = clock_timestamp()
  FROM (SELECT written, id FROM batch ORDER BY written DESC, id DESC LIMIT 1) b
  WHERE t.written = $1 AND t.step_id = $2 AND {moves}
  RETURNING t.written
),
days AS (
  INSERT INTO rag._step_day AS d (day, owner, agent, kind, name, model, status, steps, input_tokens, output_tokens, cost,
                                  last_started, durations)
  SELECT day, owner, agent, kind, name, model, status, count(*),
         least(coalesce(sum(input_tokens), 0), 9223372036854775807)::bigint,
         least(coalesce(sum(output_tokens), 0), 9223372036854775807)::bigint,
         coalesce(sum(cost), 0), max(started), rag._histogram(duration_ms)
  FROM batch
  GROUP BY day, owner, agent, kind, name, model, status
  ON CONFLICT (day, owner, agent, kind, name, model, status) DO UPDATE
  SET steps = least(d.steps::numeric + excluded.steps, 9223372036854775807)::bigint,
      input_tokens = least(d.input_tokens::numeric + excluded.input_tokens, 9223372036854775807)::bigint,
      output_tokens = least(d.output_tokens::numeric + excluded.output_tokens, 9223372036854775807)::bigint,
      cost = d.cost + excluded.cost,
      last_started = greatest(d.last_started, excluded.last_started),
      durations = rag._histogram_merge(d.durations, excluded.durations)
),
errors AS (
  INSERT INTO rag._error_day AS d (day, owner, agent, kind, name, sqlstate, pattern, errors, first_seen, last_seen, error, run_id,
                                   step_id)
  SELECT day, owner, agent, kind, name, sqlstate, pattern, count(*), min(started), max(started),
         (array_agg(error ORDER BY started DESC, id DESC))[1], (array_agg(run_id ORDER BY started DESC, id DESC))[1],
         (array_agg(id ORDER BY started DESC, id DESC))[1]
  FROM (
    SELECT day, owner, agent, kind, name, left(coalesce(sqlstate, ''), 20) AS sqlstate, rag._error_pattern(coalesce(error, '')) AS pattern,
           left(coalesce(error, ''), 500) AS error, started, run_id, id
    FROM batch
    WHERE status = 'error') e
  GROUP BY day, owner, agent, kind, name, sqlstate, pattern
  ON CONFLICT (day, owner, agent, kind, name, sqlstate, pattern) DO UPDATE
  SET errors = d.errors + excluded.errors,
      first_seen = least(d.first_seen, excluded.first_seen),
      last_seen = greatest(d.last_seen, excluded.last_seen),
      error = CASE WHEN excluded.last_seen >= d.last_seen THEN excluded.error ELSE d.error END,
      run_id = CASE WHEN excluded.last_seen >= d.last_seen THEN excluded.run_id ELSE d.run_id END,
      step_id = CASE WHEN excluded.last_seen >= d.last_seen THEN excluded.step_id ELSE d.step_id END
),
slow AS (
  INSERT INTO rag._slow_step (day, owner, agent, kind, id, run_id, name, model, started, duration_ms, status)
  SELECT b.day, b.owner, b.agent, b.kind, b.id, b.run_id, b.name, b.model, b.started, b.duration_ms, b.status
  FROM (
    SELECT *, row_number() OVER (PARTITION BY day, owner, agent, kind ORDER BY duration_ms DESC, id) AS place
    FROM batch
    WHERE duration_ms < 'infinity') b
  LEFT JOIN LATERAL (
    SELECT min(l.duration_ms) AS duration_ms
    FROM rag._slow_step l
    WHERE l.day = b.day AND l.owner = b.owner AND l.agent = b.agent AND l.kind = b.kind
    HAVING count(*) >= 20) least ON true
  WHERE b.place <= 20 AND b.duration_ms >= coalesce(least.duration_ms, '-infinity')
  ON CONFLICT DO NOTHING
  RETURNING day
)
SELECT (SELECT count(*) FROM batch),
       EXISTS (SELECT FROM place),
       (SELECT array_agg(DISTINCT day::text) FROM slow)

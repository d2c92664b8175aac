-- Adds ended runs to the sums of the reports, at most $1. Returns their number.
WITH batch AS MATERIALIZED (
  SELECT r.id, r.started
  FROM rag._runs r
  WHERE NOT r.counted AND r.finished IS NOT NULL AND {groups}
  ORDER BY r.id
  LIMIT $1
  FOR UPDATE SKIP LOCKED
),
ended AS (
  UPDATE rag._runs r
  SET counted = true
  FROM batch b
  WHERE r.id = b.id AND r.started = b.started
  RETURNING r.id, (r.started AT TIME ZONE 'UTC')::date AS day, r.owner, left(r.agent, 150) AS agent, r.status, r.error, r.sqlstate,
            r.finished, extract(epoch FROM r.finished - r.started)::double precision * 1000 AS duration_ms
),
days AS (
  INSERT INTO rag._run_day AS d (day, owner, agent, status, runs, durations)
  SELECT day, owner, agent, status, count(*), rag._histogram(duration_ms)
  FROM ended
  GROUP BY day, owner, agent, status
  ON CONFLICT (day, owner, agent, status) DO UPDATE
  SET runs = least(d.runs::numeric + excluded.runs, 9223372036854775807)::bigint,
      durations = rag._histogram_merge(d.durations, excluded.durations)
),
errors AS (
  INSERT INTO rag._error_day AS d (day, owner, agent, kind, name, sqlstate, pattern, errors, first_seen, last_seen, error, run_id)
  SELECT day, owner, agent, 'run', '', sqlstate, pattern, count(*), min(finished), max(finished),
         (array_agg(error ORDER BY finished DESC, id DESC))[1], (array_agg(id ORDER BY finished DESC, id DESC))[1]
  FROM (
    SELECT day, owner, agent, left(coalesce(sqlstate, ''), 20) AS sqlstate, rag._error_pattern(coalesce(error, '')) AS pattern,
           left(coalesce(error, ''), 500) AS error, finished, id
    FROM ended
    WHERE status = 'failed') e
  GROUP BY day, owner, agent, sqlstate, pattern
  ON CONFLICT (day, owner, agent, kind, name, sqlstate, pattern) DO UPDATE
  SET errors = d.errors + excluded.errors,
      first_seen = least(d.first_seen, excluded.first_seen),
      last_seen = greatest(d.last_seen, excluded.last_seen),
      error = CASE WHEN excluded.last_seen >= d.last_seen THEN excluded.error ELSE d.error END,
      run_id = CASE WHEN excluded.last_seen >= d.last_seen THEN excluded.run_id ELSE d.run_id END
)
SELECT count(*) FROM ended

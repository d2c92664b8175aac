-- Leaves runs of groups that cannot be added out of the sums of the reports, at most $1. Returns their number for each group.
WITH batch AS MATERIALIZED (
  SELECT r.id, r.started
  FROM rag._runs r
  WHERE NOT r.counted AND r.finished IS NOT NULL AND {groups}
  ORDER BY r.id
  LIMIT $1
  FOR UPDATE SKIP LOCKED
),
left_out AS (
  UPDATE rag._runs r
  SET counted = true
  FROM batch b
  WHERE r.id = b.id AND r.started = b.started
  RETURNING (r.started AT TIME ZONE 'UTC')::date AS day, r.owner, left(r.agent, 150) AS agent
)
SELECT day::text, owner::text, agent, count(*)
FROM left_out
GROUP BY day, owner, agent

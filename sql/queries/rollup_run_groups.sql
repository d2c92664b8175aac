-- The groups of the runs that rollup_runs.sql would add: day, owner, agent, number of runs; and the number of all runs.
WITH batch AS MATERIALIZED (
  SELECT (r.started AT TIME ZONE 'UTC')::date AS day, r.owner, left(r.agent, 150) AS agent
  FROM rag._runs r
  WHERE NOT r.counted AND r.finished IS NOT NULL
  ORDER BY r.id
  LIMIT $1
  FOR UPDATE SKIP LOCKED
)
SELECT day::text, owner::text, agent, count(*), (SELECT count(*) FROM batch)
FROM batch
GROUP BY day, owner, agent

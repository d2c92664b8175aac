-- The groups of the steps that rollup_steps.sql would add: day, owner, agent, number of steps; and the number of all steps and the position
-- of the last one.
WITH batch AS MATERIALIZED (
  SELECT s.id, s.written, (s.started AT TIME ZONE 'UTC')::date AS day, s.owner, left(s.agent, 150) AS agent
  FROM rag._steps s
  WHERE (s.written, s.id) > ($1, $2) AND {which}
  ORDER BY s.written, s.id
  LIMIT $3
)
SELECT day::text, owner::text, agent, count(*), (SELECT count(*) FROM batch),
       (SELECT max(written) FROM batch),
       (SELECT id FROM batch ORDER BY written DESC, id DESC LIMIT 1)
FROM batch
GROUP BY day, owner, agent

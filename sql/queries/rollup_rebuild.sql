-- Deletes the sums of the days that the tables still contain, so that they are recomputed: rows came from another server, whose transaction
-- numbers are not valid here. A day that has more in the sums than in the tables lost steps to rag.log_retention, and is kept. Runs
-- need no such day, since they have a flag that says whether they are counted.
WITH now AS MATERIALIZED (
  SELECT pg_snapshot_xmin(s)::text::bigint AS xmin, pg_snapshot_xmax(s)::text::bigint AS xmax FROM pg_current_snapshot() s
),
there AS MATERIALIZED (
  SELECT (s.started AT TIME ZONE 'UTC')::date AS day, count(*) AS steps, max(s.id) FILTER (WHERE s.written >= n.xmax) AS last
  FROM rag._steps s CROSS JOIN now n
  GROUP BY 1
),
sums AS MATERIALIZED (
  SELECT d.day, sum(d.steps) AS steps FROM rag._step_day d GROUP BY 1
),
kept AS MATERIALIZED (
  SELECT day FROM there JOIN sums USING (day) WHERE sums.steps > there.steps
),
anew AS MATERIALIZED (
  SELECT day FROM there EXCEPT SELECT day FROM kept
),
no_days AS (DELETE FROM rag._step_day WHERE day IN (SELECT day FROM anew)),
no_errors AS (DELETE FROM rag._error_day WHERE kind <> 'run' AND day IN (SELECT day FROM anew)),
no_gaps AS (DELETE FROM rag._report_gap WHERE kind = 'step' AND day IN (SELECT day FROM anew)),
no_slow AS (DELETE FROM rag._slow_step WHERE day IN (SELECT day FROM anew)),
no_places AS (DELETE FROM rag._totals_progress)
INSERT INTO rag._totals_progress (server, written, step_id, folded, anew_before, kept, foreign_from, foreign_step)
SELECT l.server, -1, 0, clock_timestamp(), n.xmin, ARRAY(SELECT day FROM kept), n.xmax, coalesce((SELECT max(last) FROM there), 0)
FROM now n CROSS JOIN rag._server l

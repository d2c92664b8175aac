-- Of the current and the next week those for which a table of the log has no partition yet: the partition's name and bounds.
-- None before the first id was given: a restore that has not reached the rows may be about to create the partitions itself.
SELECT p.name, p.since, p.until
FROM (VALUES (0), (7)) d (days)
CROSS JOIN LATERAL (SELECT date_trunc('week', now() AT TIME ZONE 'UTC') + d.days * interval '1 day' AS monday) w
CROSS JOIN LATERAL (
  SELECT $1 || '_' || to_char(w.monday, 'IYYY"w"IW') AS name,
         to_char(w.monday, 'YYYY-MM-DD') || ' 00:00:00+00' AS since,
         to_char(w.monday + interval '7 days', 'YYYY-MM-DD') || ' 00:00:00+00' AS until) p
WHERE ((SELECT is_called FROM rag._run_id) OR (SELECT is_called FROM rag._step_id))
  AND to_regclass('rag.' || p.name) IS NULL
ORDER BY d.days

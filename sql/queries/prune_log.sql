-- Deletes some rows of a default partition whose steps and whose storage are both older than the given number of days, so that an old log
-- stays readable after its import.
DELETE FROM rag.{table}
WHERE ctid = ANY (ARRAY(
  SELECT o.ctid FROM rag.{table} o
  WHERE o.id <= (SELECT max(d.{number}) FROM rag._log_days d WHERE d.day <= (now() AT TIME ZONE 'UTC')::date - $1)
    AND o.started < now() - $1 * interval '24 hours'
  LIMIT $2))

-- Deletes some rows of a default partition that are about what is longer ago than so many days, and have been here for as long:
-- an old log that is imported is to be seen, too.
DELETE FROM rag.{table}
WHERE ctid = ANY (ARRAY(
  SELECT o.ctid FROM rag.{table} o
  WHERE o.id <= (SELECT max(d.{number}) FROM rag._log_days d WHERE d.day <= (now() AT TIME ZONE 'UTC')::date - $1)
    AND o.started < now() - $1 * interval '24 hours'
  LIMIT $2))

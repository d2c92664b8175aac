-- Ends the runs that exist and are not locked, and returns their ids. An end that is older than the stored one changes nothing.
WITH given AS (
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::jsonb[], $4::text[], $5::text[], $6::timestamptz[])
    AS g (id, status, output, error, sqlstate, finished)
),
free AS (
  SELECT r.id, r.started FROM rag._runs r WHERE r.id = ANY ($1) FOR UPDATE SKIP LOCKED
),
ended AS (
  UPDATE rag._runs r
  SET status = g.status, output = g.output, error = g.error, sqlstate = g.sqlstate, finished = g.finished
  FROM given g JOIN free f USING (id)
  WHERE r.id = f.id AND r.started = f.started AND (r.finished IS NULL OR g.finished IS NULL OR r.finished <= g.finished)
)
SELECT id FROM free

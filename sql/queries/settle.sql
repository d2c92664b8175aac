-- Stores the outcome of callers' transactions that have ended, and returns whether some have not ended. A transaction of another server
-- had not ended when the dump was made, so that the dump has none of its rows: it counts as rolled back.
WITH callers AS MATERIALIZED (
  SELECT u.caller_xid, u.server,
         CASE WHEN u.server <> s.server THEN 'aborted' ELSE coalesce(pg_xact_status(u.caller_xid::text::xid8), 'unknown') END
           AS status
  FROM (SELECT DISTINCT caller_xid, server FROM rag._uncommitted_row) u CROSS JOIN rag._server s
),
settled AS (
  DELETE FROM rag._uncommitted_row u USING callers c
  WHERE u.caller_xid = c.caller_xid AND u.server = c.server AND c.status <> 'in progress'
  RETURNING u.is_run, u.id, u.started, c.status
),
steps AS (
  UPDATE rag._steps t SET rolled_back = true FROM settled s
  WHERE NOT s.is_run AND s.status = 'aborted' AND t.id = s.id AND t.started = s.started
),
runs AS (
  UPDATE rag._runs t SET rolled_back = true FROM settled s
  WHERE s.is_run AND s.status = 'aborted' AND t.id = s.id AND t.started = s.started
)
SELECT EXISTS (SELECT FROM callers WHERE status = 'in progress')

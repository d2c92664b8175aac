-- The collections that have queue entries, in order: one look into the index for each.
WITH RECURSIVE queued (collection) AS (
  (SELECT collection FROM rag._queue ORDER BY collection LIMIT 1)
  UNION ALL
  SELECT (SELECT q.collection FROM rag._queue q WHERE q.collection > queued.collection ORDER BY q.collection LIMIT 1)
  FROM queued WHERE queued.collection IS NOT NULL)
SELECT collection FROM queued WHERE collection IS NOT NULL

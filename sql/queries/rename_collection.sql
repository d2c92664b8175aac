-- Renames a collection ($1) from $2 to $3, with everything that refers to it by name.
WITH tools AS (
  UPDATE rag._tool SET collection = $3 WHERE collection = $2
),
sessions AS (
  UPDATE rag._sessions SET collection = $3 WHERE collection = $2
),
evaluations AS (
  UPDATE rag._evaluation SET collection = $3 WHERE collection = $2
),
jobs AS (
  -- rag.refresh_collection calls the argument name.
  UPDATE rag._job j SET args = jsonb_set(j.args, ARRAY[a.argument], to_jsonb($3))
  FROM (VALUES ('search', 'collection'), ('ask', 'collection'), ('chat', 'collection'), ('refresh', 'name')) a (kind, argument)
  WHERE j.status IN ('queued', 'running') AND j.kind = a.kind AND j.args ->> a.argument = $2
)
UPDATE rag.collection SET name = $3 WHERE id = $1

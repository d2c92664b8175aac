-- What collections use of providers with their owners' keys: server, key, model and budgets, each as a text that is the same for
-- collections that share it, and a text that changes when the server, the key or a budget is altered. Runs as the bootstrap superuser,
-- since other roles cannot read all user mappings.
SELECT c.id,
       format('server %s', s.oid),
       format('key %s %s', s.oid, m.oid),
       format('model %s %s', s.oid, c.model),
       b.budgets,
       format('%s %s %s', s.xmin, m.xmin, b.versions)
FROM rag.collection c
JOIN pg_class k ON k.oid = c.chunk_table
JOIN pg_foreign_server s ON s.srvname = split_part(c.model, '/', 1)
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'rag'
LEFT JOIN LATERAL (
  SELECT oid, xmin FROM pg_user_mapping WHERE umserver = s.oid AND umuser IN (k.relowner, 0::oid) ORDER BY umuser DESC LIMIT 1) m ON true
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(format('budget %s', id)), '{}') AS budgets, string_agg(xmin::text, ' ' ORDER BY id) AS versions
  FROM rag.budgets
  WHERE (role IS NULL OR role = rag._owner_of(k.relowner, pg_get_userbyid(k.relowner))) AND (server IS NULL OR server = s.srvname)) b
WHERE s.srvname <> 'local'

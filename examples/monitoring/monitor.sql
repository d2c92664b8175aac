-- The role of postgres_exporter, which can read the statistics of all roles, but no rows of tables.
--   psql -f examples/monitoring/monitor.sql      in each database with Ragstone
SELECT 'CREATE ROLE ragstone_monitor LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ragstone_monitor') \gexec
-- pg_monitor shows the processes of all roles; rag_auditor shows their calls, jobs, budgets and runs.
GRANT pg_monitor, rag_auditor TO ragstone_monitor;
-- A collection is visible to roles that may read a column of its source; the key is enough.
SELECT format('GRANT SELECT (%s) ON %s TO ragstone_monitor', string_agg(quote_ident(k), ', '), source)
  FROM rag.collections, unnest(key) AS k WHERE source IS NOT NULL GROUP BY source \gexec

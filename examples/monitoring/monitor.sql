-- The role of postgres_exporter: it reads everybody's statistics, and no table's rows.
--   psql -f examples/monitoring/monitor.sql      in each database with Ragstone
SELECT 'CREATE ROLE ragstone_monitor LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ragstone_monitor') \gexec
-- pg_monitor: whose processes there are. rag_auditor: calls, jobs, budgets, runs of all roles.
GRANT pg_monitor, rag_auditor TO ragstone_monitor;
-- A collection is shown to whoever may read something of its source: a column of its key is enough.
SELECT format('GRANT SELECT (%s) ON %s TO ragstone_monitor', string_agg(quote_ident(k), ', '), source)
  FROM rag.collections, unnest(key) AS k WHERE source IS NOT NULL GROUP BY source \gexec

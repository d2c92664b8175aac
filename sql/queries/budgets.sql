-- The budgets that apply to a role's calls of a server, and the use by calls on record in the current period. The engine counts by what a
-- budget covers, so that must differ for two roles that had the same name.
SELECT id,
       format('%s of %s for %s per %s',
              id,
              coalesce('role ' || quote_ident(role), 'all roles'),
              coalesce('provider ' || quote_ident(server), 'all providers'),
              period),
       extract(epoch FROM period_start)::bigint,
       extract(epoch FROM period_end)::bigint,
       cost,
       tokens,
       calls,
       max_cost,
       max_tokens,
       max_calls
FROM rag._budget_periods
WHERE (role IS NULL OR role = (SELECT rag._owner_of(oid, rolname) FROM pg_roles WHERE oid = $1)) AND (server IS NULL OR server = $2::name)
ORDER BY id

-- Writes runs that have begun, and records their owners, since a record in a caller's transaction may have been rolled back. A run that
-- is stored already is not written again.
WITH begun AS (
  SELECT *
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::jsonb[], $7::text[], $8::text[], $9::jsonb[],
              $10::timestamptz[], $11::bigint[], $12::bool[])
    AS g (id, owner, agent, session, job, input, trace_id, parent_span_id, attributes, started, caller_xid, rolled_back)),
noted AS (
  INSERT INTO rag._owner (owner, role_name, role, server)
  SELECT r.rolname, r.rolname, r.oid, s.server
  FROM (SELECT DISTINCT owner::name AS owner FROM begun) b
  JOIN pg_catalog.pg_roles r ON r.rolname = b.owner
  CROSS JOIN rag._server s
  WHERE NOT EXISTS (SELECT FROM rag._owner o WHERE o.owner = b.owner))
INSERT INTO rag._runs (id, owner, agent, session, job, status, input, trace_id, parent_span_id, attributes, started, caller_xid,
                       rolled_back, written)
SELECT id, owner::name, agent, session, job, 'running', input, trace_id, parent_span_id, attributes, started, caller_xid, rolled_back,
       $13::bigint
FROM begun
ON CONFLICT DO NOTHING

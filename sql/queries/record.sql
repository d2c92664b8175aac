-- Writes calls, and adds them to the use of their roles. A call that is stored already is neither written nor added. Roles that are not
-- recorded as owners yet are recorded (sql/owners.sql); a role that was dropped without ever being recorded appears by its OID.
WITH given AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::oid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                       $9::float8[], $10::float8[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::text[],
                       $16::bool[])
    AS g (id, began_us, role, function, server, model, input_tokens, output_tokens, cost, latency_ms, status, sqlstate,
          retries, prompt, reply, counted)
),
callers AS (
  SELECT g.role,
         r.rolname,
         coalesce(CASE WHEN r.oid IS NOT NULL THEN rag._owner_of(r.oid, r.rolname) END,
                  (SELECT o.owner FROM rag._owner o
                   WHERE o.role = g.role AND o.server = (SELECT server FROM rag._server)
                   ORDER BY o.id DESC LIMIT 1),
                  format('#%s', g.role)::name) AS owner
  FROM (SELECT DISTINCT role FROM given) g
  LEFT JOIN pg_roles r ON r.oid = g.role
),
noted AS (
  INSERT INTO rag._owner (owner, role_name, role, server)
  SELECT c.owner, c.rolname, c.role, s.server
  FROM callers c CROSS JOIN rag._server s
  WHERE c.rolname IS NOT NULL
    AND NOT EXISTS (SELECT FROM rag._owner o WHERE o.role = c.role AND o.server = s.server AND o.role_name = c.rolname)
),
written AS (
  INSERT INTO rag._calls
  SELECT id,
         timestamptz 'epoch' + began_us * interval '1 microsecond',
         c.owner,
         function,
         server::name,
         model,
         input_tokens,
         output_tokens,
         cost,
         latency_ms,
         status,
         sqlstate,
         retries::integer,
         prompt,
         reply
  FROM given JOIN callers c USING (role) ORDER BY id
  ON CONFLICT (id) DO NOTHING
  RETURNING id, began, role, server, input_tokens + output_tokens AS tokens, cost
)
INSERT INTO rag._spent
SELECT date_trunc('hour', w.began, 'UTC'), w.role, w.server, sum(w.cost), sum(w.tokens), count(*)
FROM written w JOIN given g ON g.id = w.id
WHERE g.counted
GROUP BY 1, 2, 3
ON CONFLICT (hour, role, server) DO UPDATE
SET cost = _spent.cost + excluded.cost, tokens = _spent.tokens + excluded.tokens, calls = _spent.calls + excluded.calls

-- Writes calls down, and adds to what their roles have spent. A call that is there already is neither written nor added.
WITH given AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::oid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                       $9::float8[], $10::float8[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::text[],
                       $16::bool[])
    AS g (id, began_us, role, function, server, model, input_tokens, output_tokens, cost, latency_ms, status, sqlstate,
          retries, prompt, reply, counted)
),
written AS (
  INSERT INTO rag._calls
  SELECT id,
         timestamptz 'epoch' + began_us * interval '1 microsecond',
         pg_get_userbyid(role),
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
  FROM given ORDER BY id
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

-- Writes steps. A step that is stored already is not written again.
INSERT INTO rag._steps (id, run_id, number, parent_id, owner, agent, kind, name, input, output, model, input_tokens, output_tokens,
                        cost, started, duration_ms, status, error, sqlstate, attributes, caller_xid, rolled_back, written)
SELECT id, run_id, number, parent_id, owner::name, agent, kind, name, input, output, model, input_tokens, output_tokens, cost,
       started, duration_ms, status, error, sqlstate, attributes, caller_xid, rolled_back, $23::bigint
FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::jsonb[],
            $10::jsonb[], $11::text[], $12::bigint[], $13::bigint[], $14::float8[], $15::timestamptz[], $16::float8[], $17::text[],
            $18::text[], $19::text[], $20::jsonb[], $21::bigint[], $22::bool[])
  AS g (id, run_id, number, parent_id, owner, agent, kind, name, input, output, model, input_tokens, output_tokens, cost, started,
        duration_ms, status, error, sqlstate, attributes, caller_xid, rolled_back)
ON CONFLICT DO NOTHING

-- Writes runs that have begun. One that is there already is not written again.
INSERT INTO rag._runs (id, owner, agent, session, job, status, input, trace_id, parent_span_id, attributes, started, caller_xid,
                       rolled_back, written)
SELECT id, owner::name, agent, session, job, 'running', input, trace_id, parent_span_id, attributes, started, caller_xid, rolled_back,
       $13::bigint
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::jsonb[], $7::text[], $8::text[], $9::jsonb[],
            $10::timestamptz[], $11::bigint[], $12::bool[])
  AS g (id, owner, agent, session, job, input, trace_id, parent_span_id, attributes, started, caller_xid, rolled_back)
ON CONFLICT DO NOTHING

-- What calls to providers took, and what they may take.

-- Whoever is a member sees everybody's calls. Roles belong to all databases, so another one may have made it.
DO $$
BEGIN
  CREATE ROLE rag_auditor NOLOGIN;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- Read through views: pg_dump would dump a policy of an extension's table beside the extension, and no restore would get
-- through. Servers go by name and roles by the name under which they own (sql/owners.sql), since no number of theirs outlives a restore.
CREATE TABLE rag._calls (
  id bigint PRIMARY KEY,
  began timestamptz NOT NULL,
  role name NOT NULL,
  function text NOT NULL,
  server name NOT NULL,
  model text NOT NULL,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  cost double precision NOT NULL,
  latency_ms double precision NOT NULL,
  status text NOT NULL CHECK (status IN ('answered', 'cancelled', 'failed')),
  sqlstate text,
  retries integer NOT NULL,
  prompt text,
  reply text
);

CREATE INDEX ON rag._calls (began);

-- Hours are in UTC. All periods begin with one, so what a budget has left is the sum of a few rows.
CREATE TABLE rag._spent (
  hour timestamptz NOT NULL,
  role name NOT NULL,
  server name NOT NULL,
  cost double precision NOT NULL,
  tokens bigint NOT NULL,
  calls bigint NOT NULL,
  PRIMARY KEY (hour, role, server)
);

CREATE TABLE rag.budgets (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  role name,
  server name,
  period text NOT NULL CHECK (period IN ('hour', 'day', 'month')),
  max_cost double precision CHECK (max_cost >= 0::double precision AND max_cost < 'infinity'),
  max_tokens bigint CHECK (max_tokens >= 0),
  max_calls bigint CHECK (max_calls >= 0),
  CONSTRAINT budgets_limit_something CHECK (pg_catalog.num_nonnulls(max_cost, max_tokens, max_calls) > 0)
);

CREATE FUNCTION rag._check_budget() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'ragstone_check_budget';

CREATE TRIGGER check_names BEFORE INSERT OR UPDATE OF role, server ON rag.budgets
FOR EACH ROW EXECUTE FUNCTION rag._check_budget();

SELECT pg_catalog.pg_extension_config_dump('rag._calls', '');
SELECT pg_catalog.pg_extension_config_dump('rag._spent', '');
SELECT pg_catalog.pg_extension_config_dump('rag.budgets', '');
SELECT pg_catalog.pg_extension_config_dump('rag.budgets_id_seq', '');

COMMENT ON TABLE rag._calls IS 'internal: calls to providers; see rag.calls';
COMMENT ON COLUMN rag._calls.id IS 'given by the engine: what is written a second time is the same call';
COMMENT ON TABLE rag._spent IS 'internal: what calls have taken in each hour, by role and server';
COMMENT ON COLUMN rag._spent.tokens IS 'in and out';
COMMENT ON COLUMN rag._spent.calls IS 'without those that a budget refused';
COMMENT ON TABLE rag.budgets IS
'what calls to providers may take: a call needs room in all budgets that apply to it; see rag.budget_state for what is left';
COMMENT ON FUNCTION rag._check_budget() IS 'internal: checks that role and provider of a row of rag.budgets exist, and gives the budget to the role and not to its name';
COMMENT ON SEQUENCE rag.budgets_id_seq IS 'internal: numbers of budgets';
COMMENT ON COLUMN rag.budgets.role IS 'whose calls, as the column role of rag.calls names them and not by membership; NULL: those of all roles together';
COMMENT ON COLUMN rag.budgets.server IS 'calls of which provider; NULL: of all together';
COMMENT ON COLUMN rag.budgets.period IS 'hour, day or month, in UTC';
COMMENT ON COLUMN rag.budgets.max_cost IS 'most cost, by the prices that the servers have; NULL: any';
COMMENT ON COLUMN rag.budgets.max_tokens IS 'most tokens, in and out; NULL: any';
COMMENT ON COLUMN rag.budgets.max_calls IS 'most calls; NULL: any';

CREATE VIEW rag._auditors AS
SELECT r.rolname AS reason FROM pg_catalog.pg_roles r
WHERE (r.rolname = 'rag_auditor' AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
   OR (r.rolname = current_user AND r.rolsuper);

COMMENT ON VIEW rag._auditors IS 'internal: a row if the current role may see everybody''s calls';

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see.
CREATE VIEW rag.calls WITH (security_barrier) AS
SELECT id, began, role, function, server, model, input_tokens, output_tokens, cost, latency_ms, status, sqlstate, retries,
       prompt, reply
FROM rag._calls
WHERE role = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.calls TO PUBLIC;

COMMENT ON VIEW rag.calls IS
'calls to providers, also of transactions that were rolled back: one''s own, and everybody''s for members of rag_auditor and superusers';
COMMENT ON COLUMN rag.calls.began IS 'when the engine got it';
COMMENT ON COLUMN rag.calls.role IS 'the current role of the call, by the name that it had at first, or by its OID and name where that was another role''s before';
COMMENT ON COLUMN rag.calls.cost IS 'by the prices that the server had';
COMMENT ON COLUMN rag.calls.latency_ms IS 'from the call''s arrival in the engine to its answer';
COMMENT ON COLUMN rag.calls.status IS 'answered, cancelled (nobody waited for the answer any more) or failed';
COMMENT ON COLUMN rag.calls.sqlstate IS 'of a call that failed';
COMMENT ON COLUMN rag.calls.retries IS 'tries beyond the first';
COMMENT ON COLUMN rag.calls.prompt IS 'the messages, where rag.log_prompts was on';
COMMENT ON COLUMN rag.calls.reply IS 'the answer, where rag.log_prompts was on';

CREATE VIEW rag.usage AS
SELECT role,
       server,
       model,
       (began AT TIME ZONE 'UTC')::date AS day,
       pg_catalog.count(*) AS calls,
       pg_catalog.count(*) FILTER (WHERE status = 'failed') AS failed,
       pg_catalog.count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
       pg_catalog.sum(input_tokens)::bigint AS input_tokens,
       pg_catalog.sum(output_tokens)::bigint AS output_tokens,
       pg_catalog.sum(cost) AS cost,
       pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE status = 'answered') AS p50_ms,
       pg_catalog.percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE status = 'answered') AS p95_ms
FROM rag.calls
GROUP BY 1, 2, 3, 4;

GRANT SELECT ON rag.usage TO PUBLIC;

COMMENT ON VIEW rag.usage IS 'the calls of rag.calls by role, provider, model and day';
COMMENT ON COLUMN rag.usage.day IS 'in UTC';
COMMENT ON COLUMN rag.usage.p50_ms IS 'median of the answered calls'' latency';
COMMENT ON COLUMN rag.usage.p95_ms IS '95th percentile of the answered calls'' latency';

-- A transaction may be older than the period.
CREATE VIEW rag._budget_periods AS
SELECT b.id, b.role, b.server, b.period, b.max_cost, b.max_tokens, b.max_calls,
       p.began AS period_start,
       (p.began AT TIME ZONE 'UTC' + ('1 ' || b.period)::interval) AT TIME ZONE 'UTC' AS period_end,
       coalesce(s.cost, 0) AS cost,
       coalesce(s.tokens, 0)::bigint AS tokens,
       coalesce(s.calls, 0)::bigint AS calls
FROM rag.budgets b
CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc(b.period, pg_catalog.clock_timestamp(), 'UTC') AS began) p
CROSS JOIN LATERAL (
  SELECT pg_catalog.sum(cost) AS cost, pg_catalog.sum(tokens) AS tokens, pg_catalog.sum(calls) AS calls
  FROM rag._spent
  WHERE hour >= p.began AND (b.role IS NULL OR role = b.role) AND (b.server IS NULL OR server = b.server)) s;

COMMENT ON VIEW rag._budget_periods IS 'internal: budgets with the period that is now, and what calls on record have taken in it';

CREATE VIEW rag.budget_state WITH (security_barrier) AS
SELECT id,
       role,
       server,
       period,
       period_start,
       period_end,
       cost,
       max_cost,
       CASE WHEN max_cost IS NOT NULL THEN greatest(max_cost - cost, 0) END AS cost_left,
       tokens,
       max_tokens,
       CASE WHEN max_tokens IS NOT NULL THEN greatest(max_tokens - tokens, 0) END AS tokens_left,
       calls,
       max_calls,
       CASE WHEN max_calls IS NOT NULL THEN greatest(max_calls - calls, 0) END AS calls_left
FROM rag._budget_periods
WHERE (SELECT EXISTS (SELECT FROM rag._auditors))
   OR ((role IS NULL OR role = (SELECT rag._current_owner()::name))
       AND (server IS NULL OR EXISTS (SELECT FROM pg_catalog.pg_foreign_server s
                                      WHERE s.srvname = server AND pg_catalog.has_server_privilege(s.oid, 'USAGE'))));

GRANT SELECT ON rag.budget_state TO PUBLIC;

COMMENT ON VIEW rag.budget_state IS
'what is left of the budgets that apply to the current role, and of all for members of rag_auditor and superusers; calls under way are not counted yet';
COMMENT ON COLUMN rag.budget_state.role IS 'NULL: all roles together';
COMMENT ON COLUMN rag.budget_state.server IS 'NULL: all providers together';
COMMENT ON COLUMN rag.budget_state.cost IS 'taken in this period';
COMMENT ON COLUMN rag.budget_state.tokens IS 'taken in this period, in and out';
COMMENT ON COLUMN rag.budget_state.calls IS 'made in this period';

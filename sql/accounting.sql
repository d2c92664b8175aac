-- The use of providers by calls, and its limits.

-- Members see the calls of all roles. Roles are shared by all databases, so another database may have created it.
DO $$
BEGIN
  CREATE ROLE rag_auditor NOLOGIN;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

-- The tables are read through views: pg_dump would dump policies of an extension's table separately from the extension, and the restore
-- would fail. Servers are stored by name, and roles by the name under which they own (sql/owners.sql), since OIDs are not valid after a
-- restore.
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

-- Hours are in UTC. All periods begin at one, so that the use of a budget is the sum of a few rows.
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

COMMENT ON TABLE rag._calls IS 'internal: calls of providers; see rag.calls';
COMMENT ON COLUMN rag._calls.id IS 'given by the engine: a call that is delivered twice has the same id';
COMMENT ON TABLE rag._spent IS 'internal: use by calls in each hour, by role and server';
COMMENT ON COLUMN rag._spent.tokens IS 'input and output tokens';
COMMENT ON COLUMN rag._spent.calls IS 'without calls that a budget refused';
COMMENT ON TABLE rag.budgets IS
'limits of what calls of providers may use; see rag.budget_state for what is left';
COMMENT ON FUNCTION rag._check_budget() IS 'internal: checks that role and provider of a row of rag.budgets exist, and gives the budget to the role and not to its name';
COMMENT ON SEQUENCE rag.budgets_id_seq IS 'internal: ids of budgets';
COMMENT ON COLUMN rag.budgets.role IS 'role whose calls count, as in rag.calls.role and not by membership; NULL: all roles together';
COMMENT ON COLUMN rag.budgets.server IS 'provider whose calls count; NULL: all providers together';
COMMENT ON COLUMN rag.budgets.period IS 'hour, day or month, in UTC';
COMMENT ON COLUMN rag.budgets.max_cost IS 'maximum cost, by the prices of the servers; NULL: no limit';
COMMENT ON COLUMN rag.budgets.max_tokens IS 'maximum input and output tokens; NULL: no limit';
COMMENT ON COLUMN rag.budgets.max_calls IS 'maximum number of calls; NULL: no limit';

CREATE VIEW rag._auditors AS
SELECT r.rolname AS reason FROM pg_catalog.pg_roles r
WHERE (r.rolname = 'rag_auditor' AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
   OR (r.rolname = current_user AND r.rolsuper);

COMMENT ON VIEW rag._auditors IS 'internal: a row if the current role may see the calls of all roles';

-- A security barrier, so that functions in a reader's query do not see other roles' rows.
CREATE VIEW rag.calls WITH (security_barrier) AS
SELECT id, began, role, function, server, model, input_tokens, output_tokens, cost, latency_ms, status, sqlstate, retries,
       prompt, reply
FROM rag._calls
WHERE role = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.calls TO PUBLIC;

COMMENT ON VIEW rag.calls IS
'the current role''s calls of providers, also those of transactions that were rolled back; members of rag_auditor and superusers see all';
COMMENT ON COLUMN rag.calls.began IS 'when the call reached the engine';
COMMENT ON COLUMN rag.calls.role IS 'current role of the caller, by its original name, or by its OID and name if that name was another role''s before';
COMMENT ON COLUMN rag.calls.cost IS 'by the prices that the server had at the time';
COMMENT ON COLUMN rag.calls.latency_ms IS 'from the call''s arrival in the engine to its answer';
COMMENT ON COLUMN rag.calls.status IS 'answered, cancelled (the caller stopped waiting) or failed';
COMMENT ON COLUMN rag.calls.sqlstate IS 'SQLSTATE of a failed call';
COMMENT ON COLUMN rag.calls.retries IS 'attempts after the first';
COMMENT ON COLUMN rag.calls.prompt IS 'the messages, if rag.log_prompts was on';
COMMENT ON COLUMN rag.calls.reply IS 'the answer, if rag.log_prompts was on';

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

COMMENT ON VIEW rag.usage IS 'rag.calls summed up by role, provider, model and day';
COMMENT ON COLUMN rag.usage.day IS 'in UTC';
COMMENT ON COLUMN rag.usage.p50_ms IS 'median latency of the answered calls';
COMMENT ON COLUMN rag.usage.p95_ms IS '95th percentile of the latency of the answered calls';

-- clock_timestamp(), because a transaction may have begun before the period.
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

COMMENT ON VIEW rag._budget_periods IS 'internal: budgets with their current period, and the use by calls on record in it';

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
'what is left of the budgets that apply to the current role, and of all budgets for members of rag_auditor and superusers; calls under way are not counted yet';
COMMENT ON COLUMN rag.budget_state.role IS 'NULL: all roles together';
COMMENT ON COLUMN rag.budget_state.server IS 'NULL: all providers together';
COMMENT ON COLUMN rag.budget_state.cost IS 'used in this period';
COMMENT ON COLUMN rag.budget_state.tokens IS 'input and output tokens used in this period';
COMMENT ON COLUMN rag.budget_state.calls IS 'made in this period';

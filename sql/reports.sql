-- Sums of what agents did. The database's coordinator folds runs and steps into these tables soon after their commit, and the views read
-- only these tables, so that a report over millions of steps takes milliseconds. See src/agent_log/rollup.rs.

CREATE AGGREGATE rag._histogram (double precision) (
  SFUNC = rag._histogram_add, STYPE = bytea, COMBINEFUNC = rag._histogram_merge, PARALLEL = SAFE
);

CREATE AGGREGATE rag._histogram_sum (bytea) (
  SFUNC = rag._histogram_merge, STYPE = bytea, COMBINEFUNC = rag._histogram_merge, PARALLEL = SAFE
);

-- Days are those of `started` in UTC. Texts in keys are cut to 150 characters, and NULL becomes an empty text, so that an index can hold
-- each key.
CREATE TABLE rag._run_day (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  status text NOT NULL,
  runs bigint NOT NULL,
  durations bytea,
  PRIMARY KEY (day, owner, agent, status)
);

CREATE TABLE rag._step_day (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  model text NOT NULL,
  status text NOT NULL,
  steps bigint NOT NULL,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  cost double precision NOT NULL,
  last_started timestamptz NOT NULL,
  durations bytea,
  PRIMARY KEY (day, owner, agent, kind, name, model, status)
);

CREATE TABLE rag._error_day (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  sqlstate text NOT NULL,
  pattern text NOT NULL,
  errors bigint NOT NULL,
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  error text NOT NULL,
  run_id bigint NOT NULL,
  step_id bigint,
  PRIMARY KEY (day, owner, agent, kind, name, sqlstate, pattern)
);

CREATE TABLE rag._slow_step (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL,
  id bigint NOT NULL,
  run_id bigint NOT NULL,
  name text NOT NULL,
  model text NOT NULL,
  started timestamptz NOT NULL,
  duration_ms double precision NOT NULL,
  status text NOT NULL,
  PRIMARY KEY (day, owner, agent, kind, id)
);

-- Groups with rows that could not be added to the sums: see src/agent_log/report_gaps.rs.
CREATE TABLE rag._report_gap (
  day date NOT NULL,
  owner name NOT NULL,
  agent text NOT NULL,
  kind text NOT NULL,
  missing bigint NOT NULL,
  sqlstate text NOT NULL,
  message text NOT NULL,
  noted_at timestamptz NOT NULL,
  PRIMARY KEY (day, owner, agent, kind)
);

-- The progress of folding, in one row. The table's name sorts after those of the tables that it describes, so that a dump brings it after
-- their rows. If the row is of another server, so are their transaction numbers, which are not valid here.
CREATE TABLE rag._totals_progress (
  server uuid NOT NULL,
  written bigint NOT NULL,
  step_id bigint NOT NULL,
  folded timestamptz NOT NULL,
  anew_before bigint,
  kept date[],
  foreign_from bigint NOT NULL,
  foreign_step bigint NOT NULL
);

-- A table without a key that a publication for all tables includes needs this for UPDATE and DELETE.
ALTER TABLE rag._totals_progress REPLICA IDENTITY FULL;

SELECT pg_catalog.pg_extension_config_dump('rag._run_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._step_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._error_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._slow_step', '');
SELECT pg_catalog.pg_extension_config_dump('rag._report_gap', '');
SELECT pg_catalog.pg_extension_config_dump('rag._totals_progress', '');

COMMENT ON AGGREGATE rag._histogram (double precision) IS 'internal: durations in milliseconds, counted in buckets';
COMMENT ON AGGREGATE rag._histogram_sum (bytea) IS 'internal: merges histograms of rag._histogram';
COMMENT ON FUNCTION rag._histogram_add(bytea, double precision) IS 'internal: transition function of rag._histogram';
COMMENT ON FUNCTION rag._histogram_merge(bytea, bytea) IS 'internal: transition function of rag._histogram_sum';
COMMENT ON FUNCTION rag._quantile(bytea, double precision) IS 'internal: quantile of a histogram''s durations, within 2 %; NULL for a damaged histogram';
COMMENT ON FUNCTION rag._error_pattern(text) IS 'internal: the common part of texts of the same failure';
COMMENT ON TABLE rag._run_day IS 'internal: ended runs, by the day (UTC) on which they began';
COMMENT ON COLUMN rag._run_day.durations IS 'rag._histogram of milliseconds from start to end';
COMMENT ON TABLE rag._step_day IS 'internal: steps, by the day (UTC) on which they began';
COMMENT ON COLUMN rag._step_day.status IS 'status of the step; waiting also for calls that were approved or rejected later';
COMMENT ON COLUMN rag._step_day.durations IS 'rag._histogram of milliseconds';
COMMENT ON TABLE rag._error_day IS 'internal: errors of steps and runs, grouped by the common part of their texts; see rag.error_groups';
COMMENT ON COLUMN rag._error_day.kind IS 'kind of the step; run for errors that ended a run';
COMMENT ON TABLE rag._slow_step IS 'internal: the 20 longest steps of each day, owner, agent and kind';
COMMENT ON TABLE rag._report_gap IS 'internal: rows that could not be added to a sum; see rag.report_gaps';
COMMENT ON TABLE rag._totals_progress IS 'internal: how far steps are folded into reports; see rag.stat_reports';
COMMENT ON COLUMN rag._totals_progress.server IS 'as in rag._server';
COMMENT ON COLUMN rag._totals_progress.written IS 'with step_id: the last folded step, ordered by both';
COMMENT ON COLUMN rag._totals_progress.anew_before IS 'while sums are recomputed: steps of transactions before this one, and of another server, are to be added';
COMMENT ON COLUMN rag._totals_progress.kept IS 'days whose sums include rows that are no longer in the tables: they are not recomputed';
COMMENT ON COLUMN rag._totals_progress.foreign_from IS 'rows of transactions from this one on that existed before it began are of another server';
COMMENT ON COLUMN rag._totals_progress.foreign_step IS 'id of the last such row';

-- A security barrier, so that functions in a reader's query do not see other roles' rows. The view is ordered so that a LIMIT reads no
-- more rows than it returns.
CREATE VIEW rag.run_summary WITH (security_barrier) AS
SELECT r.id,
       r.agent,
       r.owner,
       r.status,
       r.started,
       r.finished,
       CASE WHEN pg_catalog.isfinite(r.started) AND pg_catalog.isfinite(r.finished)
         THEN extract(epoch FROM r.finished - r.started)::double precision * 1000::double precision END AS duration_ms,
       s.steps,
       s.model_calls,
       s.tool_calls,
       s.errors,
       s.input_tokens,
       s.output_tokens,
       s.cost,
       coalesce(r.error, s.error) AS last_error,
       coalesce(r.rolled_back, r.caller_xid IN (SELECT caller_xid FROM rag._rolled_back), false) AS rolled_back,
       r.session,
       r.job
FROM rag._runs r
LEFT JOIN LATERAL (
  SELECT pg_catalog.count(*) AS steps,
         pg_catalog.count(*) FILTER (WHERE kind = 'model') AS model_calls,
         pg_catalog.count(*) FILTER (WHERE kind = 'tool' AND status NOT IN ('waiting', 'approved', 'rejected')) AS tool_calls,
         pg_catalog.count(*) FILTER (WHERE status = 'error') AS errors,
         least(coalesce(pg_catalog.sum(input_tokens), 0), 9223372036854775807::numeric)::bigint AS input_tokens,
         least(coalesce(pg_catalog.sum(output_tokens), 0), 9223372036854775807::numeric)::bigint AS output_tokens,
         coalesce(pg_catalog.sum(CASE WHEN cost > 1e200::double precision THEN 1e200::double precision ELSE cost END), 0) AS cost,
         (pg_catalog.array_agg(error ORDER BY started DESC, number DESC, id DESC) FILTER (WHERE status = 'error'))[1] AS error
  FROM rag._steps
  WHERE run_id = r.id AND owner = r.owner) s ON true
WHERE r.owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors))
ORDER BY r.id DESC;

CREATE VIEW rag.agent_daily WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), day, owner, agent), 0) AS id,
       day,
       agent,
       owner,
       least(coalesce(pg_catalog.sum(runs), 0), 9223372036854775807::numeric)::bigint AS runs,
       least(coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'done'), 0), 9223372036854775807::numeric)::bigint AS done,
       least(coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'failed'), 0), 9223372036854775807::numeric)::bigint AS failed,
       least(coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'cancelled'), 0), 9223372036854775807::numeric)::bigint AS cancelled,
       (coalesce(pg_catalog.sum(runs) FILTER (WHERE status = 'done'), 0) / nullif(pg_catalog.sum(runs), 0::numeric))::double precision AS success_rate,
       rag._quantile(rag._histogram_sum(durations), 0.5) AS p50_ms,
       rag._quantile(rag._histogram_sum(durations), 0.95) AS p95_ms,
       least(coalesce(pg_catalog.sum(steps), 0), 9223372036854775807::numeric)::bigint AS steps,
       least(coalesce(pg_catalog.sum(steps) FILTER (WHERE kind = 'model'), 0), 9223372036854775807::numeric)::bigint AS model_calls,
       least(coalesce(pg_catalog.sum(steps) FILTER (WHERE kind = 'tool' AND status <> 'waiting'), 0), 9223372036854775807::numeric)::bigint AS tool_calls,
       least(coalesce(pg_catalog.sum(steps) FILTER (WHERE status = 'error'), 0), 9223372036854775807::numeric)::bigint AS errors,
       least(coalesce(pg_catalog.sum(input_tokens), 0), 9223372036854775807::numeric)::bigint AS input_tokens,
       least(coalesce(pg_catalog.sum(output_tokens), 0), 9223372036854775807::numeric)::bigint AS output_tokens,
       coalesce(pg_catalog.sum(CASE WHEN cost > 1e200::double precision THEN 1e200::double precision ELSE cost END), 0) AS cost
FROM (
  SELECT day, owner, agent, status, NULL AS kind, runs, durations, NULL::bigint AS steps, NULL::bigint AS input_tokens,
         NULL::bigint AS output_tokens, NULL::double precision AS cost
  FROM rag._run_day
  UNION ALL
  SELECT day, owner, agent, status, kind, NULL, NULL, steps, input_tokens, output_tokens, cost
  FROM rag._step_day) d
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors))
GROUP BY day, owner, agent
ORDER BY day DESC, agent, owner;

CREATE VIEW rag.slowest_steps WITH (security_barrier) AS
SELECT id,
       run_id,
       agent,
       owner,
       kind,
       nullif(name, '') AS name,
       nullif(model, '') AS model,
       started,
       duration_ms,
       status
FROM rag._slow_step
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors))
ORDER BY duration_ms DESC, id;

CREATE VIEW rag.error_groups WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), owner, agent, kind, name, sqlstate, pattern), 0) AS id,
       agent,
       owner,
       kind,
       nullif(name, '') AS name,
       nullif(sqlstate, '') AS sqlstate,
       pattern AS error,
       least(pg_catalog.sum(errors), 9223372036854775807::numeric)::bigint AS count,
       pg_catalog.min(first_seen) AS first_seen,
       pg_catalog.max(last_seen) AS last_seen,
       (pg_catalog.array_agg(error ORDER BY last_seen DESC))[1] AS example,
       (pg_catalog.array_agg(run_id ORDER BY last_seen DESC))[1] AS run_id,
       (pg_catalog.array_agg(step_id ORDER BY last_seen DESC))[1] AS step_id
FROM rag._error_day
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors))
GROUP BY owner, agent, kind, name, sqlstate, pattern
ORDER BY pg_catalog.max(last_seen) DESC;

CREATE VIEW rag.tool_stats WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), owner, agent, name), 0) AS id,
       nullif(name, '') AS tool,
       agent,
       owner,
       least(pg_catalog.sum(steps), 9223372036854775807::numeric)::bigint AS calls,
       least(coalesce(pg_catalog.sum(steps) FILTER (WHERE status = 'error'), 0), 9223372036854775807::numeric)::bigint AS errors,
       (coalesce(pg_catalog.sum(steps) FILTER (WHERE status = 'error'), 0) / nullif(pg_catalog.sum(steps), 0::numeric))::double precision AS error_rate,
       rag._quantile(rag._histogram_sum(durations), 0.5) AS p50_ms,
       rag._quantile(rag._histogram_sum(durations), 0.95) AS p95_ms,
       pg_catalog.max(last_started) AS last_used
FROM rag._step_day
WHERE kind = 'tool' AND status <> 'waiting'
  AND (owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors)))
GROUP BY owner, agent, name
ORDER BY name, agent, owner;

CREATE VIEW rag.step_daily WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), day, owner, agent, kind, name, model), 0) AS id,
       day,
       agent,
       owner,
       kind,
       nullif(name, '') AS name,
       nullif(model, '') AS model,
       least(pg_catalog.sum(steps), 9223372036854775807::numeric)::bigint AS steps,
       least(coalesce(pg_catalog.sum(steps) FILTER (WHERE status = 'error'), 0), 9223372036854775807::numeric)::bigint AS errors,
       least(pg_catalog.sum(input_tokens), 9223372036854775807::numeric)::bigint AS input_tokens,
       least(pg_catalog.sum(output_tokens), 9223372036854775807::numeric)::bigint AS output_tokens,
       pg_catalog.sum(CASE WHEN cost > 1e200::double precision THEN 1e200::double precision ELSE cost END) AS cost,
       rag._quantile(rag._histogram_sum(durations), 0.5) AS p50_ms,
       rag._quantile(rag._histogram_sum(durations), 0.95) AS p95_ms
FROM rag._step_day
WHERE status <> 'waiting'
  AND (owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors)))
GROUP BY day, owner, agent, kind, name, model
ORDER BY day DESC, agent, kind, name, model, owner;

CREATE VIEW rag.error_daily WITH (security_barrier) AS
SELECT pg_catalog.hashtextextended(pg_catalog.concat_ws(chr(31), day, owner, agent, kind, name, sqlstate, pattern), 0) AS id,
       day,
       agent,
       owner,
       kind,
       nullif(name, '') AS name,
       nullif(sqlstate, '') AS sqlstate,
       pattern AS error,
       errors AS count,
       first_seen,
       last_seen,
       error AS example,
       run_id,
       step_id
FROM rag._error_day
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors))
ORDER BY day DESC, errors DESC;

CREATE VIEW rag.stat_reports AS
SELECT t.folded AS folded_at,
       (SELECT pg_catalog.count(*) FROM (
          SELECT FROM rag._steps s
          WHERE (s.written, s.id) > (t.written, t.step_id)
            AND s.written < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint
            AND (s.written < t.foreign_from OR s.id > t.foreign_step OR s.xmin::text::bigint = s.written & 4294967295)
          LIMIT 100000) w) AS waiting,
       t.anew_before IS NOT NULL AS computed_anew,
       h.pid AS held_back_by,
       h.xact_start AS held_back_since
FROM rag._totals_progress t
JOIN rag._server l ON l.server = t.server
LEFT JOIN LATERAL (
  SELECT a.pid, a.xact_start
  FROM pg_catalog.pg_stat_activity a
  WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
  ORDER BY pg_catalog.age(a.backend_xid) DESC
  LIMIT 1) h ON true;

CREATE VIEW rag.report_gaps WITH (security_barrier) AS
SELECT day, agent, owner, kind, missing, sqlstate, message, noted_at
FROM rag._report_gap
WHERE owner = (SELECT rag._current_owner()::name) OR (SELECT EXISTS (SELECT FROM rag._auditors));

GRANT SELECT ON rag.report_gaps, rag.run_summary, rag.agent_daily, rag.slowest_steps, rag.error_groups, rag.error_daily, rag.step_daily, rag.tool_stats, rag.stat_reports TO PUBLIC;

COMMENT ON VIEW rag.run_summary IS
'a row for each run of rag.runs with the sums of its steps as of now, the latest first';
COMMENT ON COLUMN rag.run_summary.duration_ms IS 'from start to end; NULL if it has not ended';
COMMENT ON COLUMN rag.run_summary.tool_calls IS 'without calls that wait for approval or were rejected';
COMMENT ON COLUMN rag.run_summary.errors IS 'steps with status error';
COMMENT ON COLUMN rag.run_summary.last_error IS 'error that ended the run, or the error of its last failed step';
COMMENT ON COLUMN rag.run_summary.rolled_back IS 'see rag.runs';
COMMENT ON VIEW rag.agent_daily IS
'runs and steps per day and agent; visible as in rag.steps; days outlive rag.log_retention';
COMMENT ON COLUMN rag.agent_daily.id IS 'hash of day, agent and owner';
COMMENT ON COLUMN rag.agent_daily.day IS 'day in UTC on which runs and steps began';
COMMENT ON COLUMN rag.agent_daily.runs IS 'runs that have ended; a resumed run counts with its first end';
COMMENT ON COLUMN rag.agent_daily.success_rate IS 'share of the runs that are done, from 0 to 1';
COMMENT ON COLUMN rag.agent_daily.p50_ms IS 'median of the runs'' durations, within 2 %; NULL if the stored durations are damaged';
COMMENT ON COLUMN rag.agent_daily.p95_ms IS '95th percentile of the runs'' durations, within 2 %';
COMMENT ON COLUMN rag.agent_daily.steps IS 'steps, including those of runs that have not ended';
COMMENT ON COLUMN rag.agent_daily.errors IS 'steps with status error';
COMMENT ON VIEW rag.slowest_steps IS
'the 20 longest steps of each day, owner, agent and kind, the longest first; visible as in rag.steps';
COMMENT ON VIEW rag.error_groups IS
'errors of steps and runs, grouped by the common part of their texts, the latest first; visible as in rag.steps';
COMMENT ON COLUMN rag.error_groups.id IS 'hash of the group';
COMMENT ON COLUMN rag.error_groups.kind IS 'kind of the steps; run: errors that ended runs';
COMMENT ON COLUMN rag.error_groups.error IS 'common part of the texts: # stands for words with digits, … for text in quotation marks';
COMMENT ON COLUMN rag.error_groups.example IS 'first 500 characters of the latest text';
COMMENT ON COLUMN rag.error_groups.run_id IS 'run of the latest error';
COMMENT ON COLUMN rag.error_groups.step_id IS 'step of the latest error';
COMMENT ON VIEW rag.tool_stats IS
'calls per tool and agent; visible as in rag.steps';
COMMENT ON COLUMN rag.tool_stats.id IS 'hash of tool, agent and owner';
COMMENT ON COLUMN rag.tool_stats.error_rate IS 'share of the calls that failed, from 0 to 1';
COMMENT ON COLUMN rag.tool_stats.p50_ms IS 'median of the calls'' durations, within 2 %';
COMMENT ON COLUMN rag.tool_stats.p95_ms IS '95th percentile of the calls'' durations, within 2 %';
COMMENT ON COLUMN rag.tool_stats.last_used IS 'start of the last call';
COMMENT ON VIEW rag.step_daily IS
'steps per day, agent, kind, name and model: tools, retrievals, models and what they cost; visible as in rag.steps; days outlive rag.log_retention';
COMMENT ON COLUMN rag.step_daily.id IS 'hash of day, agent, owner, kind, name and model';
COMMENT ON COLUMN rag.step_daily.day IS 'day in UTC on which the steps began';
COMMENT ON COLUMN rag.step_daily.name IS 'first 150 characters of the name of the tool, the collection or the function';
COMMENT ON COLUMN rag.step_daily.steps IS 'steps, without calls that wait for approval';
COMMENT ON COLUMN rag.step_daily.errors IS 'steps with status error';
COMMENT ON COLUMN rag.step_daily.p50_ms IS 'median of the steps'' durations, within 2 %';
COMMENT ON COLUMN rag.step_daily.p95_ms IS '95th percentile of the steps'' durations, within 2 %';
COMMENT ON VIEW rag.error_daily IS
'errors of steps and runs per day, grouped as in rag.error_groups; visible as in rag.steps; days outlive rag.log_retention';
COMMENT ON COLUMN rag.error_daily.id IS 'hash of day and group';
COMMENT ON COLUMN rag.error_daily.day IS 'day in UTC on which the steps began';
COMMENT ON COLUMN rag.error_daily.kind IS 'kind of the steps; run: errors that ended runs';
COMMENT ON COLUMN rag.error_daily.error IS 'common part of the texts, as in rag.error_groups';
COMMENT ON COLUMN rag.error_daily.count IS 'errors of the day';
COMMENT ON COLUMN rag.error_daily.example IS 'first 500 characters of the day''s latest text';
COMMENT ON COLUMN rag.error_daily.run_id IS 'run of the day''s latest error';
COMMENT ON COLUMN rag.error_daily.step_id IS 'step of the day''s latest error';
COMMENT ON VIEW rag.stat_reports IS
'how current the reports are; no row before the first step is folded';
COMMENT ON COLUMN rag.stat_reports.folded_at IS 'when steps were last added';
COMMENT ON COLUMN rag.stat_reports.waiting IS 'committed steps that are not in the reports yet; counted up to 100,000';
COMMENT ON COLUMN rag.stat_reports.computed_anew IS 'whether sums are being recomputed from the existing steps, after a restore';
COMMENT ON COLUMN rag.stat_reports.held_back_by IS 'process of the oldest open transaction, in any database, that has written: steps of later transactions wait for its end; NULL also if the reader may not see it';
COMMENT ON VIEW rag.report_gaps IS
'runs and steps that are in no report because they could not be added to its sums; visible as in rag.steps';
COMMENT ON COLUMN rag.report_gaps.day IS 'day in UTC on which they began';
COMMENT ON COLUMN rag.report_gaps.kind IS 'step or run';
COMMENT ON COLUMN rag.report_gaps.missing IS 'number of runs or steps that are not in the reports';
COMMENT ON COLUMN rag.report_gaps.message IS 'why the last ones could not be added';
COMMENT ON COLUMN rag.report_gaps.noted_at IS 'when the last ones were left out';

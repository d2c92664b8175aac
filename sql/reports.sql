-- What agents did, in sums: the database's worker folds runs and steps into these tables soon after they are committed, and
-- the views read nothing else, so that a report over millions of steps takes milliseconds. See src/agent_log/rollup.rs.

CREATE AGGREGATE rag._histogram (double precision) (
  SFUNC = rag._histogram_add, STYPE = bytea, COMBINEFUNC = rag._histogram_merge, PARALLEL = SAFE
);

CREATE AGGREGATE rag._histogram_sum (bytea) (
  SFUNC = rag._histogram_merge, STYPE = bytea, COMBINEFUNC = rag._histogram_merge, PARALLEL = SAFE
);

-- Days are those of `started` in UTC. Texts of keys are cut to 150 characters, and nothing is an empty text, so that each row
-- has a key that an index takes.
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

-- Groups of which something could not be added to the sums: see src/agent_log/report_gaps.rs.
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

-- How far the folding is: one row. Its name comes after those of the tables that it is about, so that a dump brings it after
-- their rows. A row of another server says that these have come from there: numbers of transactions mean nothing here then.
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

-- Where a publication for all tables has it, rows of a table without a key can be changed only so.
ALTER TABLE rag._totals_progress REPLICA IDENTITY FULL;

SELECT pg_catalog.pg_extension_config_dump('rag._run_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._step_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._error_day', '');
SELECT pg_catalog.pg_extension_config_dump('rag._slow_step', '');
SELECT pg_catalog.pg_extension_config_dump('rag._report_gap', '');
SELECT pg_catalog.pg_extension_config_dump('rag._totals_progress', '');

COMMENT ON AGGREGATE rag._histogram (double precision) IS 'internal: durations in milliseconds, counted in buckets';
COMMENT ON AGGREGATE rag._histogram_sum (bytea) IS 'internal: histograms of rag._histogram in one';
COMMENT ON FUNCTION rag._histogram_add(bytea, double precision) IS 'internal: of rag._histogram';
COMMENT ON FUNCTION rag._histogram_merge(bytea, bytea) IS 'internal: of rag._histogram_sum';
COMMENT ON FUNCTION rag._quantile(bytea, double precision) IS 'internal: the duration of which this part of all is not longer, within 2 %; NULL of a damaged histogram';
COMMENT ON FUNCTION rag._error_pattern(text) IS 'internal: what texts of the same failure have in common';
COMMENT ON TABLE rag._run_day IS 'internal: runs that have ended, by the day (UTC) on which they began';
COMMENT ON COLUMN rag._run_day.durations IS 'rag._histogram of milliseconds from begin to end';
COMMENT ON TABLE rag._step_day IS 'internal: steps, by the day (UTC) on which they began';
COMMENT ON COLUMN rag._step_day.status IS 'that of the step; waiting also for those that were approved or rejected later';
COMMENT ON COLUMN rag._step_day.durations IS 'rag._histogram of milliseconds';
COMMENT ON TABLE rag._error_day IS 'internal: errors of steps and runs by what their texts have in common; see rag.error_groups';
COMMENT ON COLUMN rag._error_day.kind IS 'of the step; run for errors that ended a run';
COMMENT ON TABLE rag._slow_step IS 'internal: the 20 longest steps of each day, owner, agent and kind';
COMMENT ON TABLE rag._report_gap IS 'internal: what is in no sum, since it could not be added; see rag.report_gaps';
COMMENT ON TABLE rag._totals_progress IS 'internal: how far steps are folded into reports; see rag.stat_reports';
COMMENT ON COLUMN rag._totals_progress.server IS 'as rag._server has it';
COMMENT ON COLUMN rag._totals_progress.written IS 'with step_id, the last step that is folded, in the order of both';
COMMENT ON COLUMN rag._totals_progress.anew_before IS 'where sums are computed anew: of the steps of transactions before this one, and of foreign ones';
COMMENT ON COLUMN rag._totals_progress.kept IS 'days of which more is in the sums than in the tables: they are not computed anew';
COMMENT ON COLUMN rag._totals_progress.foreign_from IS 'rows of transactions from this one on that were here when it had not begun are of another server';
COMMENT ON COLUMN rag._totals_progress.foreign_step IS 'the last of these';

-- The barrier keeps functions in a reader's query from seeing rows that the reader does not see. The order within is there so that
-- a LIMIT reads no more than it gives.
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

GRANT SELECT ON rag.report_gaps, rag.run_summary, rag.agent_daily, rag.slowest_steps, rag.error_groups, rag.tool_stats, rag.stat_reports TO PUBLIC;

COMMENT ON VIEW rag.run_summary IS
'a row for each run of rag.runs with the sums of its steps, the latest first: as of now. Filter by id, started or agent, or take the first ones: rows are summed up as they are read';
COMMENT ON COLUMN rag.run_summary.duration_ms IS 'from begin to end; NULL: it has not ended';
COMMENT ON COLUMN rag.run_summary.tool_calls IS 'without those that wait for an approval, or were rejected';
COMMENT ON COLUMN rag.run_summary.errors IS 'steps with status error';
COMMENT ON COLUMN rag.run_summary.last_error IS 'what ended the run, else the error of its last step that failed';
COMMENT ON COLUMN rag.run_summary.rolled_back IS 'see rag.runs';
COMMENT ON VIEW rag.agent_daily IS
'runs and steps of each day and agent, one''s own, and everybody''s for members of rag_auditor and superusers; within a second or two of their commit, see rag.stat_reports. Days outlive rag.log_retention';
COMMENT ON COLUMN rag.agent_daily.id IS 'of day, agent and owner';
COMMENT ON COLUMN rag.agent_daily.day IS 'on which runs and steps began, in UTC';
COMMENT ON COLUMN rag.agent_daily.runs IS 'that have ended. One that was gone on with counts as it ended the first time';
COMMENT ON COLUMN rag.agent_daily.success_rate IS 'part of the runs that are done, from 0 to 1';
COMMENT ON COLUMN rag.agent_daily.p50_ms IS 'median of the runs'' durations, within 2 %; NULL where what is stored of them is damaged';
COMMENT ON COLUMN rag.agent_daily.p95_ms IS '95th percentile of the runs'' durations, within 2 %';
COMMENT ON COLUMN rag.agent_daily.steps IS 'also of runs that have not ended';
COMMENT ON COLUMN rag.agent_daily.errors IS 'steps with status error';
COMMENT ON VIEW rag.slowest_steps IS
'the steps that took longest, the longest first: of each day, owner, agent and kind the first 20, exactly; who sees what as in rag.steps, how fresh as rag.agent_daily';
COMMENT ON VIEW rag.error_groups IS
'errors of steps and runs with what their texts have in common, the latest first: # stands for words with digits, … for what is in quotation marks; who sees what as in rag.steps, how fresh as rag.agent_daily';
COMMENT ON COLUMN rag.error_groups.id IS 'of the group';
COMMENT ON COLUMN rag.error_groups.kind IS 'of the steps; run: errors that ended runs';
COMMENT ON COLUMN rag.error_groups.error IS 'what the texts have in common';
COMMENT ON COLUMN rag.error_groups.example IS 'the latest text, its first 500 characters';
COMMENT ON COLUMN rag.error_groups.run_id IS 'run of the latest';
COMMENT ON COLUMN rag.error_groups.step_id IS 'step of the latest';
COMMENT ON VIEW rag.tool_stats IS
'calls of each tool by each agent; who sees what as in rag.steps, how fresh as rag.agent_daily';
COMMENT ON COLUMN rag.tool_stats.id IS 'of tool, agent and owner';
COMMENT ON COLUMN rag.tool_stats.error_rate IS 'part of the calls that failed, from 0 to 1';
COMMENT ON COLUMN rag.tool_stats.p50_ms IS 'median of the calls'' durations, within 2 %';
COMMENT ON COLUMN rag.tool_stats.p95_ms IS '95th percentile of the calls'' durations, within 2 %';
COMMENT ON COLUMN rag.tool_stats.last_used IS 'begin of the last call';
COMMENT ON VIEW rag.stat_reports IS
'how fresh the reports are; no row before the first step was folded. A transaction that has written and has not ended, in any database, keeps steps of later ones out of the reports until it ends';
COMMENT ON COLUMN rag.stat_reports.folded_at IS 'when steps were last added';
COMMENT ON COLUMN rag.stat_reports.waiting IS 'steps that are committed and not in the reports; counted up to 100,000';
COMMENT ON COLUMN rag.stat_reports.computed_anew IS 'whether sums are computed anew from the steps that are there, after a restore';
COMMENT ON COLUMN rag.stat_reports.held_back_by IS 'process of the oldest transaction that has written, which steps may be waiting for; NULL also where you may not see it';
COMMENT ON VIEW rag.report_gaps IS
'runs and steps that are in no report, since they could not be added to its sums: a value is damaged, or a sum too large. Others are not held up; who sees what as in rag.steps';
COMMENT ON COLUMN rag.report_gaps.day IS 'on which they began, in UTC';
COMMENT ON COLUMN rag.report_gaps.kind IS 'step or run';
COMMENT ON COLUMN rag.report_gaps.missing IS 'how many are not in the reports';
COMMENT ON COLUMN rag.report_gaps.message IS 'why the last ones could not be added';
COMMENT ON COLUMN rag.report_gaps.noted_at IS 'when the last ones were left out';

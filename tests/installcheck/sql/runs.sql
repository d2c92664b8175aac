-- The log of agents: what is taken, what is refused, and whose it is.
-- The runs of other tests before do not change the numbers that messages name.
SELECT setval('rag._run_id', 1000) > 0 AS is_set;

-- A run, its steps and its end.
SELECT rag.start_run('support', input => '{"question": "Where is my parcel?"}', attributes => '{"app": "shop"}') AS run \gset
SELECT current_setting('rag.run') = :'run' AS is_current;
SELECT rag.log_step(:run, 'message', input => '{"role": "user"}') AS message \gset
SELECT rag.log_step(:run, 'model', 'answer', '{"prompt": "p"}', '{"text": "t"}', parent => :message, model => 'openai/gpt',
                    input_tokens => 12, output_tokens => 3, cost => 0.5, started => '2026-03-02 10:00+00', duration_ms => 250)
       > :message AS later;
SELECT rag.log_step(:run, 'tool', 'find_parcel', status => 'error', error => 'no such parcel') > 0 AS logged;
SELECT number, parent_id = :message AS child, agent, kind, name, input, output, model, input_tokens, output_tokens, cost,
       duration_ms, status, error, rolled_back
FROM rag.steps WHERE run_id = :run ORDER BY number;
SELECT started FROM rag.steps WHERE run_id = :run AND kind = 'model';
SELECT rag.finish_run(:run, output => '{"answer": "on its way"}');
SELECT agent, session, job, status, input, output, error, finished >= started AS ended, trace_id, attributes, rolled_back
FROM rag.runs WHERE id = :run;
SELECT current_setting('rag.run') AS none_is_current;

-- A run may end again, and wait meanwhile.
SELECT rag.finish_run(:run, status => 'waiting');
SELECT status, finished FROM rag.runs WHERE id = :run;
SELECT rag.finish_run(:run, status => 'failed', error => 'gave up');
SELECT status, error, output FROM rag.runs WHERE id = :run;

-- A run joins the application's trace.
SELECT rag.start_run('traced', traceparent => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01') AS run \gset
SELECT trace_id, parent_span_id FROM rag.runs WHERE id = :run;
SELECT rag.start_run('traced', traceparent => '00-4bf92f3577b34da6a3ce929d0e0e4736');
SELECT rag.start_run('traced', traceparent => '00-00000000000000000000000000000000-00f067aa0ba902b7-01');
SELECT rag.start_run('traced', traceparent => 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');

-- Many steps at once, all or none.
SELECT rag.start_run('batch', started => '2020-01-01') AS run \gset
SELECT cardinality(rag.log_steps(:run, '[
  {"kind": "tool", "name": "a", "input": {"price": 1.000000000000000000001}, "started": "2026-03-02 10:00+00"},
  {"kind": "model", "model": "m", "input_tokens": 1, "output_tokens": 2, "cost": 0.1, "duration_ms": 3.5, "output": null},
  {"kind": "custom", "status": "error", "error": "e", "attributes": {"a": [1]}}]')) AS steps;
SELECT rag.log_steps(:run, '[]');
SELECT rag.log_steps(:run, '[{"kind": "tool"}, {"kind": "tol"}]');
SELECT rag.log_steps(:run, '[{"kind": "tool", "nme": "x"}]');
SELECT rag.log_steps(:run, '[{"name": "x"}]');
SELECT rag.log_steps(:run, '[{"kind": "tool", "cost": "much"}]');
SELECT rag.log_steps(:run, '[{"kind": "tool", "started": "yesterdays"}]');
SELECT rag.log_steps(:run, '[1]');
SELECT rag.log_steps(:run, '{"kind": "tool"}');
SELECT number, kind, name, input, output, model, cost, duration_ms, status, error, attributes
FROM rag.steps WHERE run_id = :run ORDER BY number;

-- What is refused.
SELECT rag.start_run(NULL);
SELECT rag.start_run(' ');
SELECT rag.start_run('a', session => 0);
SELECT rag.start_run('a', started => 'infinity');
SELECT rag.log_step(NULL, 'tool');
SELECT rag.log_step(:run, NULL);
SELECT rag.log_step(:run, 'retreival');
SELECT rag.log_step(:run, 'tool', status => 'okay');
SELECT rag.log_step(:run, 'tool', status => 'zzz');
SELECT rag.log_step(:run, 'tool', input_tokens => -1);
SELECT rag.log_step(:run, 'tool', cost => 'NaN');
SELECT rag.log_step(:run, 'tool', duration_ms => 'infinity');
SELECT rag.log_step(0, 'tool');
SELECT rag.finish_run(0);
SELECT rag.finish_run(:run, status => 'finished');
SELECT rag.log_steps(0, '[]');
SET rag.run = 'mine';
SET rag.log_durability = 'forever';

-- A clock that was set back gives a duration below zero, and a start that is long ago; both steps are on record.
SELECT rag.log_step(:run, 'custom', 'back', duration_ms => -5, started => '1999-12-31') > 0 AS logged;
SELECT started = '1999-12-31' AS kept, duration_ms FROM rag.steps WHERE name = 'back';

-- Of a value that is too long the beginning is kept.
SET rag.log_max_value = 1024;
SELECT rag.log_step(:run, 'custom', 'long', input => jsonb_build_object('text', repeat('ä', 1000)), output => '"short"') > 0 AS logged;
SELECT input -> 'truncated' AS truncated, input -> 'bytes' AS bytes, left(input ->> 'head', 20) AS head,
       octet_length(input ->> 'head') AS kept, output
FROM rag.steps WHERE name = 'long';
RESET rag.log_max_value;

-- What a transaction wrote goes with it; so does what it set.
SELECT rag.start_run('stays') AS stays \gset
BEGIN;
SELECT rag.start_run('goes') AS run \gset
SELECT rag.log_step(:run, 'tool') > 0 AS logged;
SAVEPOINT s;
SELECT rag.log_step(:run, 'tool') > 0 AS logged;
ROLLBACK TO s;
SELECT rag.log_step(:run, 'tool') > 0 AS logged;
SELECT number FROM rag.steps WHERE run_id = :run ORDER BY number;
ROLLBACK;
SELECT count(*) FROM rag.runs WHERE id = :run;
SELECT current_setting('rag.run') = :'stays' AS is_current;
SELECT rag.log_step(:run, 'tool') AS refused \gset
SELECT rag.finish_run(:stays);

-- Whose it is.
CREATE ROLE regress_alice;
CREATE ROLE regress_bob;
CREATE ROLE regress_auditor IN ROLE rag_auditor;
SET ROLE regress_alice;
SELECT rag.start_run('alice''s') AS run \gset
SELECT rag.log_step(:run, 'tool', input => '{"secret": true}') > 0 AS logged;
SELECT count(*) AS runs FROM rag.runs;
SET ROLE regress_bob;
SELECT count(*) AS runs FROM rag.runs;
SELECT count(*) AS steps FROM rag.steps;
-- The session remembers the run, but not for bob.
SELECT rag.log_step(:run, 'tool') AS refused \gset
SELECT rag.log_steps(:run, '[{"kind": "tool"}]') AS refused \gset
SELECT rag.finish_run(:run) AS refused \gset
SELECT count(*) FROM rag._steps;
INSERT INTO rag.steps (run_id) VALUES (1);
SET ROLE regress_auditor;
SELECT count(*) AS runs FROM rag.runs WHERE owner = 'regress_alice';
SELECT count(*) AS steps FROM rag.steps WHERE owner = 'regress_alice';
SELECT rag.log_step(:run, 'tool') AS refused \gset
RESET ROLE;
DROP ROLE regress_alice, regress_bob, regress_auditor;

-- Reading transactions write nothing.
BEGIN READ ONLY;
SELECT rag.start_run('a') AS refused \gset
ROLLBACK;

-- Secrets are taken out before anything is stored: in values, keys, errors and names. All else stays as it is.
SELECT rag.start_run('secrets', input => jsonb_build_object('url', 'postgres://app:hunter2@db/shop', 'n', 1.50)) AS run \gset
SELECT input FROM rag.runs WHERE id = :run;
SELECT rag.log_step(:run, 'tool', 'curl',
  input => jsonb_build_object('header', 'Authorization: Bearer ' || repeat('a1', 20), 'nested', jsonb_build_array(1.10, 'AKIA' || repeat('A', 16)),
                              'sk-' || repeat('a', 40), true),
  output => to_jsonb(E'first\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nlast'::text),
  error => 'cannot use ghp_' || repeat('x', 36) || ' here', status => 'error',
  attributes => jsonb_build_object('key', 'AIza' || repeat('b', 35), 'plain', 'task-force, risk-assessment-of-the-whole-enterprise')) > 0 AS logged;
SELECT input, output, error, attributes FROM rag.steps WHERE run_id = :run;
SELECT rag.finish_run(:run, output => to_jsonb('xoxb-' || repeat('1', 12)), error => 'sk-ant-' || repeat('b', 30));
SELECT output, error FROM rag.runs WHERE id = :run;

-- The administrator's own rules; this session and the others hear of them.
INSERT INTO rag.redactions (name, pattern, replacement) VALUES ('card', '\b([0-9]{4}) ?(?:[0-9]{4} ?){2}[0-9]{4}\b', '${1} ****');
SELECT rag.log_step(:run, 'custom', 'card', input => '"card 4111 1111 1111 1111 of Ann"') > 0 AS logged;
SELECT input FROM rag.steps WHERE name = 'card';
UPDATE rag.redactions SET enabled = false WHERE name = 'card';
SELECT rag.log_steps(:run, '[{"kind": "custom", "name": "cards", "input": "card 4111 1111 1111 1111 of Ann"}]') IS NOT NULL AS logged;
SELECT input FROM rag.steps WHERE name = 'cards';
INSERT INTO rag.redactions (name, pattern) VALUES ('wrong', 'a(b');
INSERT INTO rag.redactions (name, pattern) VALUES ('wrong', '(?=a)b');
INSERT INTO rag.redactions (name, pattern) VALUES ('wrong', 'a*');
UPDATE rag.redactions SET pattern = '[z' WHERE name = 'card';
-- A row of the same name as one that came with the extension takes its place, once.
INSERT INTO rag.redactions (name, pattern, enabled) VALUES ('slack token', 'xoxb-never', false);
INSERT INTO rag.redactions (name, pattern, enabled) VALUES ('slack token', 'xoxb-never', false);
SELECT name, enabled FROM rag.redactions WHERE name LIKE 's%' ORDER BY name;
DELETE FROM rag.redactions WHERE name IN ('card', 'slack token');
-- The forms that are known, whatever stands before them; values by the names of their members; agents and models.
SELECT rag.start_run('bot_AKIA' || repeat('B', 16)) AS other \gset
SELECT rag.log_step(:other, 'custom', 'forms', model => 'server/r8_' || repeat('c', 37), input => to_jsonb(array[
  'my_AKIA' || repeat('A', 16), E'Bearer\t' || repeat('b', 30), 'bEaReR ' || repeat('b', 30), 'Basic dXNlcjpwYXNzd29yZA==',
  'x-api-key: ' || repeat('k', 20), 'glpat-' || repeat('g', 20), 'npm_' || repeat('n', 36), 'pypi-' || repeat('p', 60),
  'SG.' || repeat('s', 22) || '.' || repeat('s', 43), 'xai-' || repeat('x', 80), 'pplx-' || repeat('p', 48), 'r8_' || repeat('r', 37),
  'sk_test_' || repeat('s', 24), 'whsec_' || repeat('w', 32), 'risk-' || repeat('r', 40), 'basic understanding', 'a bearer of bad news'])) > 0 AS logged;
SELECT rag.log_step(:other, 'custom', 'keys', input => '{"password": "one", "DB_PASSWORD": 2, "headers": {"Authorization": ["three"], "accept": "*/*"},
  "api_key": null, "max_tokens": 5, "next": {"client_secret": {"value": "six"}}, "token": true}') > 0 AS logged;
SELECT agent, model, input FROM rag.steps WHERE run_id = :other ORDER BY number;
SELECT agent FROM rag.runs WHERE id = :other;
BEGIN;
TRUNCATE rag.redactions;
SELECT rag.log_step(:run, 'custom', 'open', input => to_jsonb('AKIA' || repeat('A', 16))) > 0 AS logged;
SELECT input FROM rag.steps WHERE name = 'open';
ROLLBACK;
SELECT rag.log_step(:run, 'custom', 'shut', input => to_jsonb('AKIA' || repeat('A', 16))) > 0 AS logged;
SELECT input FROM rag.steps WHERE name = 'shut';
SET ROLE pg_monitor;
SELECT count(*) FROM rag.redactions;
RESET ROLE;

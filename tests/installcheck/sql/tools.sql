-- Functions as tools: their descriptions for models, the errors for unsuitable functions, and the results of calls.
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'happy');
CREATE DOMAIN app.percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE app.address AS (street text, number int);
CREATE TABLE app.orders (id int PRIMARY KEY, customer text, total numeric, mood app.mood);
INSERT INTO app.orders SELECT i, 'customer ' || i % 3, i * 1.5, 'happy' FROM generate_series(1, 250) i;
-- Name, description and schema come from the function.
CREATE FUNCTION app.find_orders(who text, at_least numeric DEFAULT 0) RETURNS TABLE (id int, total numeric) LANGUAGE sql STABLE
AS $$ SELECT o.id, o.total FROM app.orders o WHERE o.customer = who AND o.total >= at_least ORDER BY o.id $$;
SELECT * FROM refusal($$SELECT rag.create_tool('app.find_orders(text, numeric)')$$);
COMMENT ON FUNCTION app.find_orders IS 'Finds the orders of a customer.';
SELECT rag.create_tool('app.find_orders(text, numeric)');
SELECT * FROM rag.tools \gx
-- Of each type what JSON has for it.
CREATE FUNCTION app.everything(a smallint, b bigint, c real, d numeric, e boolean, f text, g date, h timestamptz, i interval, j uuid, k json,
                               l jsonb, m app.mood, n app.percent, o app.address, p int[], q app.mood[], r inet, s app.address[], t int[][],
                               OUT u int, INOUT v time DEFAULT '12:00', w timestamptz DEFAULT now(), x text DEFAULT NULL)
LANGUAGE sql AS $$ SELECT 1, v $$;
SELECT rag.create_tool('app.everything(smallint, bigint, real, numeric, boolean, text, date, timestamptz, interval, uuid, json, jsonb, app.mood, app.percent, app.address, int[], app.mood[], inet, app.address[], int[][], time, timestamptz, text)', 'everything', 'Takes everything.');
SELECT key, value FROM rag.tools, jsonb_each(schema -> 'properties') WHERE name = 'everything' ORDER BY key;
SELECT schema - 'properties' AS schema FROM rag.tools WHERE name = 'everything';
-- What cannot be a tool.
CREATE FUNCTION app.unnamed(int, b int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.many(VARIADIC numbers int[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.anything(a anyelement) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.unknown_columns() RETURNS SETOF record LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.trigger_function() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION app.umlaut(größe int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app."a function"(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.overloaded(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.overloaded(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT 2';
CREATE FUNCTION pg_temp.temporary(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE app.procedure(a int) LANGUAGE sql AS 'SELECT 1';
SELECT code, regexp_replace(message, 'pg_temp_\d+', 'pg_temp') AS message, hint FROM unnest(ARRAY[
  'app.unnamed(int, int)', 'app.many(int[])', 'app.anything(anyelement)', 'app.unknown_columns()', 'app.trigger_function()', 'app.umlaut(int)',
  'app."a function"(int)', 'app.overloaded(int)', 'pg_temp.temporary(int)', 'app.procedure(int)', 'pg_catalog.sum(int)', 'pg_catalog.rank()',
  'pg_catalog.boolin(cstring)', 'app.gone(int)']) function,
  refusal(format('SELECT rag.create_tool(%L, description => ''x'')', function));
SELECT rag.create_tool('app."a function"(int)', 'a_function', 'Has another name.');
SELECT * FROM refusal($$SELECT rag.create_tool(NULL)$$);
SELECT code, message FROM unnest('{timeout_ms => 0, max_rows => 0, max_bytes => 10, "name => ''a b''", "name => repeat(''a'', 65)"}'::text[]) option,
  refusal(format('SELECT rag.create_tool(''app.overloaded(int, int)'', description => ''x'', %s)', option)) ORDER BY message;
-- One tool of a name.
SELECT * FROM refusal($$SELECT rag.create_tool('app.find_orders(text, numeric)')$$);
SELECT rag.create_tool('app.find_orders(text, numeric)', max_rows => 3, replace => true);
-- Calls: rows as an array of objects, as many as there may be.
SELECT * FROM rag.call_tool('find_orders', '{"who": "customer 1", "at_least": 370.5}');
SELECT * FROM rag.call_tool('find_orders', '{"who": "customer 1"}');
SELECT * FROM rag.call_tool('find_orders', '{"who": "nobody"}');
-- Errors about arguments are sentences that a model can follow.
SELECT content, is_error, sqlstate FROM unnest(ARRAY['{}', '{"who": "x", "atleast": 1}', '{"who": "x", "zzz": 1}', '{"who": ["x"]}',
  '{"who": "x", "at_least": "many"}', '{"who": "x", "at_least": {"a": 1}}', '[1]', '"x"', 'null']::jsonb[]) arguments, rag.call_tool('find_orders', arguments);
-- A number may be written as a text, and null where there is a default is the default.
SELECT content FROM rag.call_tool('find_orders', '{"who": "customer 0", "at_least": "373.0"}');
SELECT content, is_error FROM rag.call_tool('find_orders', '{"who": "customer 0", "at_least": null}');
-- Values of all types arrive as they are.
CREATE FUNCTION app.echo(m app.mood, n app.percent, o app.address, p int[], q app.address[], r int[][], j jsonb, js jsonb[], d date, f boolean DEFAULT true)
RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_array(m, n, o, p, q, r, j, js, d, f) $$;
SELECT rag.create_tool('app.echo(app.mood, app.percent, app.address, int[], app.address[], int[][], jsonb, jsonb[], date, boolean)', description => 'Says what it is given.');
SELECT content FROM rag.call_tool('echo', '{"m": "sad", "n": 7, "o": {"street": "a \"b\"", "number": 1}, "p": [1, null], "q": [{"street": "s"}], "r": [[1, 2], [3, 4]],
  "j": [{"a": null}], "js": ["x", {"y": 1}], "d": "2026-02-28", "f": false}');
\set given '{"m": "sad", "n": 7, "o": {}, "p": [], "q": [], "r": [], "j": 1, "js": [], "d": "2026-02-28"}'
SELECT content, sqlstate FROM unnest(ARRAY['{"m": "angry"}', '{"n": 101}', '{"o": {"number": "x"}}', '{"o": 1}', '{"p": ["x"]}', '{"p": 1}', '{"r": [[1], [2, 3]]}',
  '{"d": "2026-02-30"}', '{"f": "perhaps"}']::jsonb[]) wrong, rag.call_tool('echo', :'given'::jsonb || wrong);
-- A STRICT function has no use for null.
CREATE FUNCTION app.half(n float8) RETURNS float8 LANGUAGE sql STRICT AS 'SELECT n / 2';
SELECT rag.create_tool('app.half(float8)', description => 'Halves.');
SELECT content, rows FROM rag.call_tool('half', '{"n": 5}');
SELECT content FROM rag.call_tool('half', '{"n": null}');
-- What a tool raises is an observation, and nothing of what it did is left.
CREATE FUNCTION app.fail(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO app.orders VALUES (n);
  IF n = 1001 THEN RAISE 'no such thing' USING ERRCODE = 'P0042', DETAIL = 'It is not there.', HINT = 'Look elsewhere.'; END IF;
  IF n = 1002 THEN RETURN n / (n - 1002); END IF;
  IF n = 1003 THEN RAISE query_canceled; END IF;
  RETURN n;
END $$;
SELECT rag.create_tool('app.fail(int)', description => 'Fails.', writes => true);
SELECT n, c.* FROM unnest('{1, 1000, 1001, 1002, 1003}'::int[]) n, rag.call_tool('fail', jsonb_build_object('n', n)) c;
SELECT id FROM app.orders WHERE id > 250;
-- A tool that takes too long is an observation, also one that does not want to be stopped.
CREATE FUNCTION app.nap(seconds float8) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(seconds)';
CREATE FUNCTION app.loop() RETURNS void LANGUAGE plpgsql AS 'BEGIN LOOP END LOOP; END';
CREATE FUNCTION app.stubborn() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$;
CREATE FUNCTION app.excuse() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(60); RETURN 'slept'; EXCEPTION WHEN query_canceled THEN RETURN 'could not sleep'; END $$;
SELECT rag.create_tool(f, description => 'Takes its time.', timeout_ms => 100)
FROM unnest('{app.nap(float8), app.loop(), app.stubborn(), app.excuse()}'::regprocedure[]) f;
SELECT content, is_error FROM rag.call_tool('nap', '{"seconds": 0}');
SELECT content, is_error, sqlstate FROM rag.call_tool('nap', '{"seconds": 60}');
SELECT content, sqlstate FROM unnest('{loop,stubborn,excuse}'::text[]) t, rag.call_tool(t);
-- The statement goes on, and so does its own timeout.
SELECT pg_sleep(0.2);
SET statement_timeout = 50;
SELECT * FROM rag.call_tool('nap', '{"seconds": 60}');
RESET statement_timeout;
-- Tools in tools: each has its own time, and the nearer end counts.
CREATE FUNCTION app.nested(tool text) RETURNS text LANGUAGE sql AS $$ SELECT 'inside: ' || content FROM rag.call_tool(tool, '{"seconds": 60}') $$;
SELECT rag.create_tool('app.nested(text)', 'patient', 'Calls another tool.', timeout_ms => 30000),
       rag.create_tool('app.nested(text)', 'hasty', 'Calls another tool.', timeout_ms => 50);
SELECT rag.create_tool('app.nap(float8)', 'long_nap', 'Sleeps.', timeout_ms => 30000);
SELECT t, c.content FROM unnest('{patient,hasty}'::text[]) t, unnest('{nap,long_nap}'::text[]) inner_tool,
  rag.call_tool(t, jsonb_build_object('tool', inner_tool)) c WHERE (t, inner_tool) <> ('patient', 'long_nap');
-- A result that is too large is cut, and says so.
CREATE FUNCTION app.numbers(most bigint) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT generate_series(1, most)';
CREATE FUNCTION app.long(size int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('ä', size) $$;
SELECT rag.create_tool('app.numbers(bigint)', description => 'Counts.', max_rows => 5);
SELECT rag.create_tool('app.numbers(bigint)', 'count_far', 'Counts.', max_rows => 100000, max_bytes => 300);
SELECT rag.create_tool('app.long(int)', description => 'Says much.', max_bytes => 256);
SELECT * FROM rag.call_tool('numbers', '{"most": 5}');
SELECT * FROM rag.call_tool('numbers', '{"most": 1000000000000}');
SELECT * FROM rag.call_tool('count_far', '{"most": 1000000}');
SELECT right(content, 60) AS content, octet_length(content), rows, truncated FROM rag.call_tool('long', '{"size": 127}');
SELECT right(content, 60) AS content, octet_length(content), rows, truncated FROM rag.call_tool('long', '{"size": 1000}');
-- What writes is done to its end, however little of it is shown.
CREATE FUNCTION app.forget(first int) RETURNS SETOF int LANGUAGE plpgsql AS
$$ BEGIN RETURN QUERY DELETE FROM app.orders WHERE id >= first RETURNING id; END $$;
SELECT rag.create_tool('app.forget(int)', description => 'Forgets orders.', writes => true, max_rows => 2);
SELECT * FROM rag.call_tool('forget', '{"first": 201}');
SELECT count(*) FROM app.orders;
-- Others cannot write, whatever they try.
CREATE FUNCTION app.write(how int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  CASE how
  WHEN 1 THEN SET transaction_read_only = off;
  WHEN 2 THEN PERFORM set_config('transaction_read_only', 'off', true);
  WHEN 3 THEN BEGIN SET LOCAL transaction_read_only = off; EXCEPTION WHEN OTHERS THEN NULL; END;
  WHEN 4 THEN SET TRANSACTION READ WRITE;
  WHEN 5 THEN BEGIN RESET transaction_read_only; EXCEPTION WHEN OTHERS THEN NULL; END;
  WHEN 6 THEN BEGIN PERFORM set_config('transaction_read_only', NULL, false); EXCEPTION WHEN OTHERS THEN NULL; END;
  WHEN 7 THEN BEGIN SET transaction_read_only = on; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;
  WHEN 8 THEN CREATE TEMP TABLE t (i int);
  WHEN 9 THEN RETURN (SELECT content FROM rag.call_tool('forget', '{"first": 1}'));
  WHEN 10 THEN BEGIN INSERT INTO app.orders VALUES (1000 + how); EXCEPTION WHEN OTHERS THEN NULL; END;
  ELSE NULL;
  END CASE;
  INSERT INTO app.orders VALUES (1000 + how);
  RETURN 'written';
END $$;
SELECT rag.create_tool('app.write(int)', description => 'Writes.');
SELECT how, sqlstate, content FROM generate_series(0, 10) how, rag.call_tool('write', jsonb_build_object('how', how));
BEGIN READ ONLY;
SELECT how, sqlstate FROM unnest('{0,5,6}'::int[]) how, rag.call_tool('write', jsonb_build_object('how', how));
SELECT content FROM rag.call_tool('forget', '{"first": 1}');
SHOW transaction_read_only;
COMMIT;
SELECT count(*) FROM app.orders;
INSERT INTO app.orders VALUES (300);
SELECT setting, reset_val FROM pg_settings WHERE name = 'transaction_read_only';
-- The session is as it was.
CREATE FUNCTION app.settings() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN SET work_mem = '77MB'; SET search_path = app; SET LOCAL statement_timeout = 30000; RETURN current_setting('work_mem'); END $$;
SELECT rag.create_tool('app.settings()', description => 'Sets things.');
SELECT content FROM rag.call_tool('settings');
SELECT name, setting = reset_val AS unchanged FROM pg_settings WHERE name IN ('work_mem', 'search_path', 'statement_timeout') ORDER BY name;
-- A function runs under its caller's search path, or its own.
CREATE FUNCTION app.path() RETURNS text LANGUAGE sql AS $$ SELECT current_setting('search_path') $$;
SELECT rag.create_tool('app.path()', description => 'Says the path.');
SET search_path = app, public;
SELECT content FROM rag.call_tool('path');
ALTER FUNCTION app.path SET search_path = pg_catalog, app;
SELECT content FROM rag.call_tool('path');
RESET search_path;
-- A tool is what its function is now.
CREATE OR REPLACE FUNCTION app.half(n float8) RETURNS float8 LANGUAGE sql AS 'SELECT n / 2 + 1';
SELECT content FROM rag.call_tool('half', '{"n": 5}');
DROP FUNCTION app.half(float8);
SELECT * FROM refusal($$SELECT rag.call_tool('half', '{"n": 5}')$$);
SELECT usable, reason, schema FROM rag.tools WHERE name = 'half';
CREATE FUNCTION app.half(n float8) RETURNS text LANGUAGE sql AS $$ SELECT 'half of ' || n $$;
SELECT content FROM rag.call_tool('half', '{"n": 5}');
CREATE FUNCTION app.half(n numeric, digits int) RETURNS numeric LANGUAGE sql AS 'SELECT round(n / 2, digits)';
DROP FUNCTION app.half(float8);
SELECT usable, reason FROM rag.tools WHERE name = 'half';
SELECT rag.create_tool('app.half(numeric, int)', description => 'Halves.', replace => true);
SELECT content FROM rag.call_tool('half', '{"n": 5, "digits": 1}');
SELECT * FROM refusal($$SELECT rag.call_tool('nothing')$$);
-- The search of a collection.
CREATE TABLE app.notes (id int PRIMARY KEY, tag text, body text);
COMMENT ON TABLE app.notes IS 'notes of the harbour master';
INSERT INTO app.notes VALUES (1, 'a', 'the harbour is closed in winter'), (2, 'b', 'boats are painted in spring'), (3, 'b', 'the harbour opens in march');
SELECT rag.create_collection('notes', 'app.notes', 'body', metadata => '{tag}', sync => 'manual');
SELECT rag.create_search_tool('notes', k => 2);
SELECT * FROM refusal($$SELECT rag.create_search_tool('nothing')$$);
SELECT description, schema, max_rows, usable FROM rag.tools WHERE name = 'search_notes' \gx
SELECT is_error, rows, content::json -> 0 ->> 'content' AS first, (content::json -> 0) ->> 'source_key' AS key FROM rag.call_tool('search_notes', '{"query": "when is the harbour closed?"}');
SELECT is_error, rows, content::json -> 0 ->> 'content' AS first FROM rag.call_tool('search_notes', '{"query": "harbour", "filter": {"tag": "b"}}');
SELECT content FROM unnest('{"{}", "{\"query\": \"x\", \"filter\": \"b\"}", "{\"query\": \"x\", \"k\": 3}", "{\"query\": null}"}'::jsonb[]) a, rag.call_tool('search_notes', a);
SELECT rag.drop_collection('notes');
SELECT usable, reason FROM rag.tools WHERE name = 'search_notes';
-- Whose rights count: the caller's.
CREATE ROLE regress_agent;
CREATE ROLE regress_other;
GRANT USAGE ON SCHEMA app TO regress_agent, regress_other;
GRANT SELECT ON app.orders TO regress_agent;
SET ROLE regress_agent;
SELECT rows FROM rag.call_tool('find_orders', '{"who": "customer 1"}');
SELECT content FROM rag.call_tool('forget', '{"first": 1}');
SELECT * FROM refusal($$SELECT rag.drop_tool('forget')$$);
SELECT * FROM refusal($$SELECT rag.create_tool('app.nap(float8)', replace => true, description => 'Is mine.')$$);
SELECT * FROM refusal($$DELETE FROM rag._tool$$);
SELECT code, message FROM refusal($$UPDATE rag.tools SET owner = 'regress_agent'$$);
RESET ROLE;
ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON app.orders FOR SELECT TO regress_agent USING (id < 5);
SET ROLE regress_agent;
SELECT content FROM rag.call_tool('find_orders', '{"who": "customer 1"}');
SET ROLE regress_other;
SELECT content FROM rag.call_tool('find_orders', '{"who": "customer 1"}');
-- A function that the caller may not execute is not usable as a tool.
RESET ROLE;
REVOKE EXECUTE ON FUNCTION app.find_orders FROM PUBLIC;
SET ROLE regress_agent;
SELECT * FROM refusal($$SELECT rag.call_tool('find_orders', '{"who": "x"}')$$);
SELECT * FROM refusal($$SELECT rag.create_tool('app.find_orders(text, numeric)', 'mine')$$);
SELECT usable, reason FROM rag.tools WHERE name = 'find_orders';
RESET ROLE;
REVOKE USAGE ON SCHEMA app FROM regress_other;
SET ROLE regress_other;
SELECT bool_or(usable) AS any_usable FROM rag.tools;
SELECT * FROM refusal($$SELECT rag.call_tool('path')$$);
RESET ROLE;
-- A SECURITY DEFINER function does what it does by hand.
CREATE FUNCTION app.count_orders() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT current_user || ' sees ' || (count(*) > 4) FROM app.orders $$;
CREATE ROLE regress_keeper;
GRANT SELECT ON app.orders TO regress_keeper;
GRANT USAGE ON SCHEMA app TO regress_keeper;
ALTER FUNCTION app.count_orders OWNER TO regress_keeper;
SELECT rag.create_tool('app.count_orders()', description => 'Counts orders.');
SET ROLE regress_agent;
SELECT content, app.count_orders() AS by_hand FROM rag.call_tool('count_orders');
-- A tool cannot leave its role, even in a session of a superuser.
RESET ROLE;
CREATE FUNCTION app.rise(how text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN EXECUTE how; ALTER ROLE regress_agent SUPERUSER; RETURN current_user; END $$;
SELECT rag.create_tool('app.rise(text)', description => 'Rises.', writes => true);
SET ROLE regress_agent;
SELECT how, is_error, sqlstate FROM unnest('{RESET ROLE,SET ROLE NONE,RESET SESSION AUTHORIZATION,"SELECT set_config(''role'', ''none'', true)",RESET ALL}'::text[]) how,
  rag.call_tool('rise', jsonb_build_object('how', how));
SELECT current_user;
RESET ROLE;
SELECT rolname, rolsuper FROM pg_roles WHERE rolname = 'regress_agent';
-- Members of the owner's role, and superusers, change and drop tools.
SET ROLE regress_agent;
SELECT rag.create_tool('app.path()', 'agents_path', 'Says the path.');
RESET ROLE;
GRANT regress_agent TO regress_other;
SET ROLE regress_other;
SELECT rag.create_tool('app.path()', 'agents_path', 'Says it again.', replace => true);
SELECT owner, description FROM rag.tools WHERE name = 'agents_path';
SELECT rag.drop_tool('agents_path');
RESET ROLE;
SELECT * FROM refusal($$SELECT rag.drop_tool('agents_path')$$);
SELECT count(rag.drop_tool(name)) > 10 AS dropped FROM rag.tools;
SELECT count(*) FROM rag._tool;
SET client_min_messages = warning;
DROP SCHEMA app CASCADE;
RESET client_min_messages;
DROP OWNED BY regress_agent, regress_other, regress_keeper;
DROP ROLE regress_agent, regress_other, regress_keeper;

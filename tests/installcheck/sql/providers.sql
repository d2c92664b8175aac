-- Providers: servers, keys, rights

-- A template and a key make a provider.
SELECT rag.create_provider('openai', api_key => 'sk-secret', model => 'gpt-4o-mini');
SELECT name, protocol, base_url, default_model, usable, has_key, has_own_key FROM rag.providers ORDER BY name;
SELECT rag.create_provider('house', kind => 'vllm', base_url => 'https://models.example.com/v1/',
                           options => '{"timeout_ms": 5000, "input_price": 0.15, "retries": 0}');
SELECT unnest(srvoptions) FROM pg_foreign_server WHERE srvname = 'house' ORDER BY 1;
SELECT rag.create_provider('mistral');

-- Every kind is one.
SELECT count(rag.create_provider('kind_' || kind, kind => kind, api_key => 'sk-secret')) FROM unnest(
  '{openai,anthropic,gemini,mistral,groq,openrouter,deepseek,together,fireworks,xai,cohere,ollama,vllm,llamacpp,lmstudio,tei}'::text[]) kind;
SELECT count(rag.create_provider('kind_' || kind, kind => kind, api_key => 'sk-secret', base_url => 'https://models.example.com/v1'))
FROM unnest('{azure,compatible}'::text[]) kind;
SELECT count(*), count(*) FILTER (WHERE has_key), string_agg(DISTINCT protocol, ' ' ORDER BY protocol) FROM rag.providers WHERE name LIKE 'kind\_%';
SET client_min_messages = warning;
DO $$ DECLARE server name; BEGIN
  FOR server IN SELECT name FROM rag.providers WHERE name LIKE 'kind\_%' LOOP EXECUTE format('DROP SERVER %I CASCADE', server); END LOOP;
END $$;
RESET client_min_messages;

-- The server of this host accepts no options and no keys.
SELECT * FROM refusal($$ALTER SERVER local OPTIONS (ADD protocol 'openai', ADD base_url 'https://models.example.com')$$);
SELECT * FROM refusal($$CREATE USER MAPPING FOR PUBLIC SERVER local OPTIONS (api_key 'sk-secret')$$);
SELECT * FROM refusal($$CREATE USER MAPPING FOR CURRENT_USER SERVER local$$);
SELECT srvoptions IS NULL AS without_options, has_server_privilege('pg_monitor', oid, 'USAGE') AS for_everybody
FROM pg_foreign_server WHERE srvname = 'local';

-- What cannot be a provider
SELECT rag.create_provider('openai', api_key => 'sk-other');
SELECT rag.create_provider('opnai');
SELECT rag.create_provider('zzz');
SELECT rag.create_provider(NULL);
SELECT rag.create_provider('my/house', kind => 'vllm');
SELECT rag.create_provider('local', kind => 'ollama');
SELECT rag.create_provider('nowhere', kind => 'azure');
SELECT rag.create_provider('odd', kind => 'ollama', options => '{"timeout": 1}');
SELECT rag.create_provider('odd', kind => 'ollama', options => '{"retries": -1}');
SELECT rag.create_provider('odd', kind => 'ollama', options => '{"retries": [1]}');
SELECT rag.create_provider('odd', kind => 'ollama', options => '[]');
SELECT rag.create_provider('odd', kind => 'ollama', base_url => 'http://models.example.com/v1');
SELECT rag.create_provider('odd', kind => 'ollama', base_url => 'https://me:hunter2@models.example.com');
SELECT rag.create_provider('odd', kind => 'ollama', base_url => 'models.example.com');
SELECT rag.create_provider('odd', kind => 'ollama', api_key => E'two\nlines');
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'odd';

-- Postgres's own statements do the same
CREATE SERVER plain FOREIGN DATA WRAPPER rag OPTIONS (protocol 'openai');
CREATE SERVER plain FOREIGN DATA WRAPPER rag OPTIONS (protocol 'opanai', base_url 'https://a.example.com');
CREATE SERVER plain FOREIGN DATA WRAPPER rag
  OPTIONS (protocol 'openai', base_url 'http://a.example.com', allow_http 'true', concurrency '2');
ALTER SERVER plain OPTIONS (SET allow_http 'false');
ALTER SERVER plain OPTIONS (ADD contxt_window '8000');
ALTER SERVER plain OPTIONS (ADD input_price 'much');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (apikey 'a');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (api_key 'a', api_key_env 'B');
CREATE USER MAPPING FOR PUBLIC SERVER plain OPTIONS (api_key_file 'relative');
ALTER FOREIGN DATA WRAPPER rag OPTIONS (ADD anything 'a');
DROP SERVER plain;

-- Names of models
SELECT rag.generate('hello', model => 'nobody/gpt');
SELECT rag.generate('hello', model => 'local/all-MiniLM-L6-v2');
SELECT rag.generate('hello', model => 'local/extractive');
SELECT rag.generate('hello');
SELECT rag.generate('hello', model => 'house');
SELECT * FROM refusal($$SELECT rag.embed('hello', model => 'house')$$);
SELECT rag.embed('hello', model => 'house/');
SELECT rag.generate(NULL::text, model => 'nobody/gpt');
SELECT rag.generate('hello', model => 'nobody/gpt', on_error => 'null') IS NULL AS nothing;
SELECT rag.generate(ARRAY['one', 'two'], model => 'nobody/gpt', on_error => 'null');
SELECT rag.generate('hello', model => 'nobody/gpt', on_error => 'ignore');

-- Arguments
SELECT rag.generate('', model => 'openai');
SELECT rag.generate('hello', model => 'openai', temperature => -1);
SELECT rag.generate('hello', model => 'openai', max_tokens => 0);
SELECT rag.generate('hello', model => 'openai', timeout_ms => 0);
SELECT rag.generate('hello', model => 'openai', options => '[1]');
SELECT rag.generate('[]'::jsonb, model => 'openai');
SELECT rag.generate('[{"role": "boss", "content": "now"}]'::jsonb, model => 'openai');
SELECT rag.generate('[{"role": "user", "content": 1}]'::jsonb, model => 'openai');
SELECT * FROM rag.complete(model => 'openai');
SELECT * FROM rag.complete('hello', model => 'openai', tools => '{}');
SELECT rag.generate_json('hello', '[]', model => 'openai');

-- Tokens are counted by an installed model's tokenizer.
SELECT rag.count_tokens('hello world'), rag.count_tokens('hello world', 'openai/gpt-4o-mini'), rag.count_tokens(NULL);

-- Privileges: a role needs USAGE to call or create a provider, and no role can read the key of PUBLIC.
CREATE ROLE regress_web;
CREATE ROLE regress_maker;
SET ROLE regress_web;
SELECT rag.generate('hello', model => 'openai');
SELECT rag.create_provider('ollama');
SELECT name, usable, has_key FROM rag.providers ORDER BY name;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER openai TO regress_web;
SET ROLE regress_web;
SELECT usename, umoptions FROM pg_user_mappings WHERE srvname = 'openai';
SELECT * FROM pg_user_mapping;
CREATE USER MAPPING FOR regress_web SERVER openai OPTIONS (api_key_env 'HOME');
CREATE USER MAPPING FOR regress_web SERVER openai OPTIONS (api_key_file '/etc/passwd');
CREATE USER MAPPING FOR regress_web SERVER openai OPTIONS (api_key 'sk-own');
SELECT usename, umoptions FROM pg_user_mappings WHERE srvname = 'openai' ORDER BY usename;
ALTER SERVER openai OPTIONS (SET base_url 'https://evil.example.com');
DROP USER MAPPING FOR regress_web SERVER openai;
RESET ROLE;

-- A key file that a superuser has set is safe: other roles can neither change the mapping nor redirect the server.
CREATE USER MAPPING FOR regress_web SERVER openai OPTIONS (api_key_file '/run/secrets/openai');
SET ROLE regress_web;
ALTER USER MAPPING FOR regress_web SERVER openai OPTIONS (ADD api_key 'sk-own');
RESET ROLE;
DROP USER MAPPING FOR regress_web SERVER openai;

-- A role with USAGE on the wrapper creates its own providers.
GRANT USAGE ON FOREIGN DATA WRAPPER rag TO regress_maker;
SET ROLE regress_maker;
SELECT rag.create_provider('theirs', kind => 'ollama', api_key => 'sk-theirs');
SELECT owner, usable, has_key FROM rag.providers WHERE name = 'theirs';
RESET ROLE;

DROP SERVER theirs, openai, house, mistral CASCADE;
REVOKE USAGE ON FOREIGN DATA WRAPPER rag FROM regress_maker;
DROP ROLE regress_web, regress_maker;

-- A provider: its address is a foreign server, its key a user mapping, the right to call it is USAGE.
--   psql -v url=http://127.0.0.1:8080/v1 -v key=… -f examples/psql/providers.sql
-- The other examples begin with this one. Without a url they have the answerer that needs no provider.
\set model local/extractive

-- No notices about what is there already.
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS ragstone CASCADE;

\if :{?url}
  \if :{?name} \else \set name smollm2 \endif
  \if :{?key} \else \set key none \endif
  DROP SERVER IF EXISTS example CASCADE;
  -- A variable keeps the key out of psql's history: \set key `cat key.txt`
  SELECT rag.create_provider('example', kind => 'compatible', base_url => :'url', api_key => :'key', model => :'name',
                             options => '{"context_window": 2048, "timeout_ms": 180000}') \g /dev/null
  \set model example

  -- No other role may call it yet, and roles that may call it cannot read its key.
  SELECT name, protocol, default_model, usable, has_key FROM rag.providers WHERE name = 'example';
\endif

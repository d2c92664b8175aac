-- Tools: functions, and searches of a collection, that language models may ask for.

-- Functions go by their signatures as text: a regprocedure column would stop pg_upgrade. What a tool takes is read from the
-- catalogue at each use, so that it is never out of date.
CREATE TABLE rag._tool (
  name text COLLATE "C" PRIMARY KEY,
  owner name NOT NULL,
  function text,
  function_name text,
  collection text,
  description text,
  timeout_ms integer NOT NULL,
  max_rows integer NOT NULL,
  max_bytes integer NOT NULL,
  writes boolean NOT NULL DEFAULT false,
  requires_approval boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  CHECK ((function IS NULL) <> (collection IS NULL))
);

-- It is read as whoever uses a tool, and holds what the catalogue says of functions to everybody.
GRANT SELECT ON rag._tool TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('rag._tool', '');

CREATE VIEW rag.tools AS
SELECT name, function, collection, description, schema, timeout_ms, max_rows, max_bytes, writes, requires_approval, owner,
       usable, reason
FROM rag._tools();

GRANT SELECT ON rag.tools TO PUBLIC;

COMMENT ON TABLE rag._tool IS 'internal: tools as rag.create_tool and rag.create_search_tool made them; see rag.tools';
COMMENT ON COLUMN rag._tool.function IS 'signature, as regprocedure writes it under a search path of pg_catalog';
COMMENT ON COLUMN rag._tool.function_name IS 'its name alone, by which it is looked up';
COMMENT ON COLUMN rag._tool.description IS 'NULL: the comment on the function';
COMMENT ON VIEW rag.tools IS 'tools that agents can be given, as they are now';
COMMENT ON COLUMN rag.tools.function IS 'that is called; NULL for a search';
COMMENT ON COLUMN rag.tools.collection IS 'that is searched; NULL for a function';
COMMENT ON COLUMN rag.tools.description IS 'what models are told that it does';
COMMENT ON COLUMN rag.tools.schema IS 'JSON schema of the arguments';
COMMENT ON COLUMN rag.tools.timeout_ms IS 'longest time that a call may take';
COMMENT ON COLUMN rag.tools.max_rows IS 'most rows of a result that a model is shown';
COMMENT ON COLUMN rag.tools.max_bytes IS 'most bytes of a result that a model is shown';
COMMENT ON COLUMN rag.tools.writes IS 'whether it may write; others run read-only';
COMMENT ON COLUMN rag.tools.requires_approval IS 'whether a person has to agree to each call of an agent''s';
COMMENT ON COLUMN rag.tools.owner IS 'role that made it. It runs with the rights of whoever calls it';
COMMENT ON COLUMN rag.tools.usable IS 'whether the current role may use it now';
COMMENT ON COLUMN rag.tools.reason IS 'why not';

COMMENT ON FUNCTION rag._tools() IS 'internal: rows of rag.tools';
COMMENT ON FUNCTION rag.create_tool(regprocedure, text, text, integer, integer, integer, boolean, boolean, boolean) IS
'makes a function a tool for agents; its name, its description and what it takes are the function''s own name, its comment and its arguments. It runs with the rights of whoever calls it, read-only unless it writes. Gives the tool''s name';
COMMENT ON FUNCTION rag.create_search_tool(text, text, text, integer, integer, integer, boolean, boolean) IS
'makes the search of a collection a tool for agents, which gives the k best passages of rows that the caller may read. Gives the tool''s name';
COMMENT ON FUNCTION rag.drop_tool(text) IS 'forgets a tool; its function or collection stays';
COMMENT ON FUNCTION rag.call_tool(text, jsonb) IS
'calls a tool as an agent would, and gives what the model would be told: what the tool raises is a row with is_error';

ALTER FUNCTION rag.call_tool(text, jsonb) ROWS 1;

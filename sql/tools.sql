-- Tools: functions, and searches of a collection, that language models may call.

-- Functions are stored by their signatures as text: a regprocedure column would stop pg_upgrade. Parameters are read from the catalogue at
-- each use, so that they are never out of date.
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

-- It is read as the role that uses a tool, and contains only what any role can read of functions in the catalogue.
GRANT SELECT ON rag._tool TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('rag._tool', '');

CREATE VIEW rag.tools AS
SELECT name, function, collection, description, schema, timeout_ms, max_rows, max_bytes, writes, requires_approval, owner,
       usable, reason
FROM rag._tools();

GRANT SELECT ON rag.tools TO PUBLIC;

COMMENT ON TABLE rag._tool IS 'internal: tools as rag.create_tool and rag.create_search_tool made them; see rag.tools';
COMMENT ON COLUMN rag._tool.function IS 'signature, as regprocedure writes it under a search path of pg_catalog';
COMMENT ON COLUMN rag._tool.function_name IS 'the function''s name alone, by which it is looked up';
COMMENT ON COLUMN rag._tool.description IS 'NULL: the comment on the function';
COMMENT ON VIEW rag.tools IS 'tools that agents can use, with their current definitions';
COMMENT ON COLUMN rag.tools.function IS 'function that is called; NULL for a search';
COMMENT ON COLUMN rag.tools.collection IS 'collection that is searched; NULL for a function';
COMMENT ON COLUMN rag.tools.description IS 'description for models';
COMMENT ON COLUMN rag.tools.schema IS 'JSON Schema of the arguments';
COMMENT ON COLUMN rag.tools.timeout_ms IS 'maximum time of a call';
COMMENT ON COLUMN rag.tools.max_rows IS 'maximum rows of a result that a model gets';
COMMENT ON COLUMN rag.tools.max_bytes IS 'maximum bytes of a result that a model gets';
COMMENT ON COLUMN rag.tools.writes IS 'whether it may write; other tools are read-only';
COMMENT ON COLUMN rag.tools.requires_approval IS 'whether a person must approve each call by an agent';
COMMENT ON COLUMN rag.tools.owner IS 'role that made it; a call has the rights of its caller';
COMMENT ON COLUMN rag.tools.usable IS 'whether the current role may use it now';
COMMENT ON COLUMN rag.tools.reason IS 'why it is not usable';

COMMENT ON FUNCTION rag._tools() IS 'internal: rows of rag.tools';
COMMENT ON FUNCTION rag.create_tool(regprocedure, text, text, integer, integer, integer, boolean, boolean, boolean) IS
'make a function a tool for agents; calls have the rights of their callers; returns the tool''s name';
COMMENT ON FUNCTION rag.create_search_tool(text, text, text, integer, integer, integer, boolean, boolean) IS
'make the search of a collection a tool for agents; calls have the rights of their callers; returns the tool''s name';
COMMENT ON FUNCTION rag.drop_tool(text) IS 'drop a tool; its function or collection stays';
COMMENT ON FUNCTION rag.call_tool(text, jsonb) IS
'call a tool as an agent would, and return what the model would get; an error of the tool is a row with is_error';

ALTER FUNCTION rag.call_tool(text, jsonb) ROWS 1;

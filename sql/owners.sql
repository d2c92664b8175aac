-- Whose conversations, runs, agents and tools are. Owners are kept by name, since no number of a role outlives a restore. But a name
-- can come to mean another role: after DROP ROLE and CREATE ROLE, or ALTER ROLE RENAME.

-- One row, which no dump carries: another one in each server and database, pg_upgrade excepted.
CREATE TABLE rag._server (
  server uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid()
);

-- Where a publication for all tables has it, rows of a table without a key can be changed only so.
ALTER TABLE rag._server REPLICA IDENTITY FULL;

INSERT INTO rag._server DEFAULT VALUES;

-- Rows are added where a role first makes something, and once more under each new name. Without a unique index no session waits for
-- another's transaction; two equal rows say nothing new.
CREATE TABLE rag._owner (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner name NOT NULL,
  role_name name NOT NULL,
  role oid NOT NULL,
  server uuid NOT NULL
);

CREATE INDEX ON rag._owner (role, server, id);
CREATE INDEX ON rag._owner (role_name, id);
CREATE INDEX ON rag._owner (owner, id);

SELECT pg_catalog.pg_extension_config_dump('rag._owner', '');
SELECT pg_catalog.pg_extension_config_dump('rag._owner_id_seq', '');

-- A role owns under its own name, unless that was another role's before, here or where what is here was restored from.
CREATE FUNCTION rag._owner_of(role oid, role_name name) RETURNS name LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  WITH named AS (
    SELECT o.id, o.owner, o.role_name, o.server = (SELECT server FROM rag._server) AS is_here
    FROM rag._owner o WHERE o.role_name = _owner_of.role_name OR o.owner = _owner_of.role_name)
  SELECT coalesce(
    (SELECT o.owner FROM rag._owner o
     WHERE o.role = _owner_of.role AND o.server = (SELECT server FROM rag._server)
     ORDER BY o.id DESC LIMIT 1),
    -- What was restored belongs to the role of the last name that its owner had.
    (SELECT n.owner FROM named n
     WHERE n.role_name = _owner_of.role_name
       AND NOT EXISTS (SELECT FROM named h WHERE h.is_here AND h.role_name = _owner_of.role_name)
       AND NOT EXISTS (SELECT FROM rag._owner later
                       WHERE later.owner = n.owner AND later.id > n.id AND later.role_name <> n.role_name)
     ORDER BY n.id DESC LIMIT 1),
    CASE WHEN EXISTS (SELECT FROM named) OR pg_catalog.starts_with(_owner_of.role_name::text, '#')
         THEN pg_catalog.format('#%s %s', _owner_of.role, _owner_of.role_name)::name
         ELSE _owner_of.role_name END);
END;

-- Any role may ask, and no role reads the tables.
CREATE FUNCTION rag._role_of(owner name) RETURNS oid LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
BEGIN ATOMIC
  SELECT coalesce(
    (SELECT CASE WHEN o.server = (SELECT server FROM rag._server)
                 THEN o.role
                 ELSE pg_catalog.to_regrole(pg_catalog.quote_ident(o.role_name)) END
     FROM rag._owner o WHERE o.owner = _role_of.owner
     ORDER BY o.id DESC LIMIT 1),
    pg_catalog.to_regrole(pg_catalog.quote_ident(_role_of.owner)));
END;

COMMENT ON TABLE rag._server IS 'internal: where numbers of transactions and of roles are from';
COMMENT ON TABLE rag._owner IS 'internal: under which names roles own what they have made';
COMMENT ON COLUMN rag._owner.owner IS 'as the columns owner have it: the name that the role had at first, or its OID and name where that was another role''s before';
COMMENT ON COLUMN rag._owner.server IS 'whose number of a role it is, as in rag._server';
COMMENT ON SEQUENCE rag._owner_id_seq IS 'internal: numbers of owners';
COMMENT ON INDEX rag._owner_role_server_id_idx IS 'internal: owners by role';
COMMENT ON INDEX rag._owner_role_name_id_idx IS 'internal: owners by the name of the role';
COMMENT ON INDEX rag._owner_owner_id_idx IS 'internal: owners by owner';

REVOKE EXECUTE ON FUNCTION rag._owner_of(oid, name) FROM PUBLIC;

COMMENT ON FUNCTION rag._owner_of IS 'internal: under which name a role owns what it makes';
COMMENT ON FUNCTION rag._role_of IS 'internal: the role that owns under a name, if there still is one';
COMMENT ON FUNCTION rag._current_owner IS 'internal: under which name the current role owns what it makes';

-- Who may call what: what a function does is done with the caller's own rights, so everybody may. The chunk tables have
-- rights of their own.

GRANT USAGE ON SCHEMA rag TO PUBLIC;

-- Any role may call the functions, because they act with the caller's own rights. The chunk tables have rights of their own.

GRANT USAGE ON SCHEMA rag TO PUBLIC;

-- What search is for those who look it up.

COMMENT ON FUNCTION rag.search(text, text, integer, text, jsonb, text, double precision, boolean) IS
'best chunks of a collection for a query, of rows that the caller may read; mode is hybrid, vector or text, filter is contained in the metadata, fusion is minmax or rrf, per_source gives each row once. Scores depend on all chunks, also on those that the caller may not read';
COMMENT ON FUNCTION rag._bm25(tsvector, integer, bytea) IS
'internal: BM25 score of a chunk; pure, and runs as the owner of the chunk table';

ALTER FUNCTION rag.search(text, text, integer, text, jsonb, text, double precision, boolean) ROWS 10;

-- What search is for those who look it up.

COMMENT ON FUNCTION rag.search(text, text, integer, text, jsonb, text, double precision, boolean, boolean, text, boolean) IS
'best chunks of a collection for a query, of rows that the caller may read; mode is hybrid, vector or text, filter is contained in the metadata, fusion is minmax or rrf, per_source gives each row once. Scores and ranks are those among rows that the caller may read, or NULL; text scores also tell how rare a word is in all rows, unless scores is false';
COMMENT ON FUNCTION rag._postings(text) IS
'internal: what the text index of a collection holds: each term with the chunks that hold it, how often, and in which fields: the sum of 1 for the title, 2 for headings and 4 for the text, or 0 for the text alone';

REVOKE EXECUTE ON FUNCTION rag._postings(text) FROM PUBLIC;

ALTER FUNCTION rag.search(text, text, integer, text, jsonb, text, double precision, boolean, boolean, text, boolean) ROWS 10;

-- Comments, rights and row estimates of the functions of search.

COMMENT ON FUNCTION rag.search IS
'best chunks of a collection for a query, of rows that the caller may read, in pages; similarity is the cosine, start_at and end_at are characters of the content';
COMMENT ON FUNCTION rag._postings(text) IS
'internal: contents of a collection''s text index: each term with the chunks that hold it, its frequency, and its fields as a sum: 1 title, 2 headings, 4 text; 0 stands for the text alone';

REVOKE EXECUTE ON FUNCTION rag._postings(text) FROM PUBLIC;

ALTER FUNCTION rag.search ROWS 10;

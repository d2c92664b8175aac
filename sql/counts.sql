-- Comments and row estimates of the functions that count rows.

COMMENT ON FUNCTION rag.count(text, text, jsonb, double precision) IS
'number of rows of a collection that the caller may read and that have a word of a query, or reach a similarity, and fit a filter';
COMMENT ON FUNCTION rag.facets(text, text, text[], jsonb, integer, double precision) IS
'most frequent values of metadata columns, each with the number of rows that have it, among the rows that rag.count counts';

ALTER FUNCTION rag.facets(text, text, text[], jsonb, integer, double precision) ROWS 30;

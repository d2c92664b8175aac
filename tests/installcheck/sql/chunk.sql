-- Documents to pieces that a model can read.
SELECT * FROM rag.chunk('A short text is one piece.');
SELECT * FROM rag.chunk(NULL);
SELECT * FROM rag.chunk('');
SELECT * FROM rag.chunk(E' \n ');
-- Pieces are at most so many tokens, and are where they say they are.
CREATE TABLE document AS
SELECT string_agg(format('Sentence %s tells of the café at the corner — it is naïve, 漢字 too.', i), ' ' ORDER BY i) AS body
FROM generate_series(1, 60) i;
SELECT count(*) > 5 AS several, bool_and(tokens <= 64) AS small, bool_and(substr(body, start_at, end_at - start_at + 1) = content) AS placed,
       bool_and(heading IS NULL) AS no_heading
FROM document, rag.chunk(body, size => 64);
SELECT bool_and(start_at <= previous_end) AS overlapping
FROM (SELECT start_at, lag(end_at) OVER (ORDER BY seq) AS previous_end FROM document, rag.chunk(body, size => 64, overlap => 32)) c
WHERE previous_end IS NOT NULL;
-- Also where a piece had to be made shorter, and the pieces repeat the ones before.
SELECT seq, tokens, substr(document, start_at, end_at - start_at + 1) = content AS placed
FROM (SELECT 'acomon_word_is_onlylooe_up_where_a_r_0_0.0' AS document) d, rag.chunk(document, size => 16, overlap => 8, splitter => 'markdown');
-- Markdown keeps blocks together and knows its headings.
SELECT seq, heading, replace(content, E'\n', '⏎') AS content
FROM rag.chunk($md$# Backup

Take one.

## Base backup

Use `pg_basebackup`.

```sh
# not a heading
pg_basebackup -D copy
```

## Restore

Copy it back.
$md$, size => 16, splitter => 'markdown');
-- Refusals.
SELECT * FROM refusal($$SELECT * FROM rag.chunk('x', size => 0)$$);
SELECT * FROM refusal($$SELECT * FROM rag.chunk('x', size => 8, overlap => 8)$$);
SELECT * FROM refusal($$SELECT * FROM rag.chunk('x', overlap => -1)$$);
SELECT * FROM refusal($$SELECT * FROM rag.chunk('x', splitter => 'pdf')$$);
SELECT * FROM refusal($$SELECT * FROM rag.chunk('x', model => 'no-such-model')$$);
DROP TABLE document;

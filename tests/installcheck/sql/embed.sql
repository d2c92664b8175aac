-- Embeddings: one text, many texts, many rows.
SELECT vector_dims(rag.embed('a base backup')), round(vector_norm(rag.embed('a base backup'))::numeric, 3);
-- What means the same is near.
SELECT round((rag.embed('how do I copy a running server?') <=> rag.embed('taking a base backup'))::numeric, 1)
     < round((rag.embed('how do I copy a running server?') <=> rag.embed('cooking rice with saffron'))::numeric, 1) AS nearer;
-- An array gives the same embeddings as its elements, and NULL for NULL.
CREATE TABLE passages (id int PRIMARY KEY, body text);
INSERT INTO passages VALUES (1, 'vacuum removes dead rows'), (2, NULL), (3, 'an index makes a search fast'),
  (4, 'a checkpoint writes dirty pages to disk, all of them, before it is done');
SELECT p.id, e.embedding IS NULL AS is_null, round((e.embedding <=> rag.embed(p.body))::numeric, 3) AS distance
FROM (SELECT array_agg(body ORDER BY id) AS bodies FROM passages) a,
     unnest(rag.embed(a.bodies)) WITH ORDINALITY AS e(embedding, ordinal) JOIN passages p ON p.id = e.ordinal
ORDER BY p.id;
SELECT rag.embed('{}'::text[]);
SELECT rag.embed(NULL::text) IS NULL AS text_null, rag.embed(NULL::text[]) IS NULL AS array_null;
-- The window function pairs each row with its own embedding, whatever the partition and order.
SELECT id, embedding IS NULL AS is_null, round((embedding <=> rag.embed(body))::numeric, 3) AS distance
FROM (SELECT id, body, rag.embed_batch(body) OVER (ORDER BY id DESC) AS embedding FROM passages) b ORDER BY id;
SELECT id, round((embedding <=> rag.embed(body))::numeric, 3) AS distance
FROM (SELECT id, body, rag.embed_batch(body, kind => 'query') OVER (PARTITION BY id % 2) AS embedding FROM passages) b
ORDER BY id;
SELECT count(*), count(DISTINCT embedding::text)
FROM (SELECT rag.embed_batch('row ' || i) OVER () AS embedding FROM generate_series(1, 1500) i) b;
-- Two window calls in one query keep their rows apart.
SELECT id, round((a <=> rag.embed(body))::numeric, 3) AS a, round((b <=> rag.embed('x' || body))::numeric, 3) AS b
FROM (SELECT id, body, rag.embed_batch(body) OVER (ORDER BY id) AS a, rag.embed_batch('x' || body) OVER (ORDER BY id DESC) AS b
      FROM passages) w ORDER BY id;
-- The model by name, and the kinds.
SELECT rag.embed('x', 'all-MiniLM-L6-v2') = rag.embed('x', kind => 'query') AS same_without_prefixes;
-- Refusals.
SELECT * FROM refusal($$SELECT rag.embed('x', model => 'no-such-model')$$);
SELECT * FROM refusal($$SELECT rag.embed('x', model => '../escape')$$);
SELECT * FROM refusal($$SELECT rag.embed('x', model => '')$$);
SELECT * FROM refusal($$SELECT rag.embed('')$$);
SELECT * FROM refusal($$SELECT rag.embed(ARRAY['x', '  '])$$);
SELECT * FROM refusal($$SELECT rag.embed('x', kind => 'passage')$$);
SELECT * FROM refusal($$SELECT rag.embed_batch('x')$$);
-- Text over the limit: one notice in a statement, an error or silence by option.
SELECT vector_dims(rag.embed(repeat('word ', 1000))) FROM generate_series(1, 3);
SET rag.overlong_input = 'error';
SELECT rag.embed(repeat('word ', 1000));
SET rag.overlong_input = 'ignore';
SELECT rag.embed(repeat('word ', 1000)) = rag.embed(repeat('word ', 2000)) AS only_the_beginning;
RESET rag.overlong_input;
-- Reading never writes.
BEGIN TRANSACTION READ ONLY;
SELECT vector_dims(rag.embed('read only'));
COMMIT;
-- A distance to a query uses an index and embeds once.
SELECT provolatile, proparallel FROM pg_proc WHERE oid = 'rag.embed(text, text, text)'::regprocedure;
SELECT name, dimensions, max_tokens, pooling, normalized, query_prefix, document_prefix, licence, loaded, error
FROM rag.models() WHERE name = 'all-MiniLM-L6-v2';
SELECT model, requests > 0 AS requests, texts >= 1500 AS texts, batches > 0 AS batches, mean_batch >= 1 AS mean_batch,
       wait_p50_ms <= wait_p99_ms AS waits, run_p50_ms <= run_p99_ms AS runs, tokens_per_second > 0 AS speed,
       resident_bytes > 1000000 AS resident, restarts
FROM rag.stat_engine;
SELECT name FROM rag.status() ORDER BY name;
DROP TABLE passages;

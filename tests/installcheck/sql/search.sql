-- The best chunks of a collection.
CREATE TABLE places (id int PRIMARY KEY, title text, body text, kind text, size int);
INSERT INTO places VALUES
  (1, 'Harbour', 'Ships lie in the harbour of the old town.', 'sea', 10),
  (2, 'Airport', 'Planes take off from the airport at night.', 'air', 20),
  (3, 'Station', 'Trains leave the station for the harbour every hour.', 'land', 30),
  (4, 'Market', 'Fish from the harbour is sold on the market.', 'land', 40),
  (5, 'Lighthouse', 'It warns ships of rocks.', 'sea', 50);
SELECT rag.create_collection('places', 'places', 'body', 'title', '{kind,size}', sync => 'manual');
SELECT rank, source_key, title, heading, content, metadata, vector_rank, text_rank FROM rag.search('places', 'ships in the harbour', k => 2);
SELECT rank, title, vector_rank, text_rank FROM rag.search('places', 'ships in the harbour', mode => 'text');
SELECT rank, title, vector_rank, text_rank FROM rag.search('places', 'where do aeroplanes start?', mode => 'vector', k => 1);
SELECT rank, title, round(score::numeric, 4) AS score, vector_rank, text_rank FROM rag.search('places', 'lighthouse', fusion => 'rrf', k => 1);
SELECT count(*) FROM rag.search('places', 'ships in the harbour', vector_weight => 0);
-- Pages.
SELECT rank, title, seq, start_at, end_at FROM rag.search('places', 'ships in the harbour', mode => 'text', k => 2, page_offset => 2);
-- Filters.
SELECT title FROM rag.search('places', 'harbour', filter => '{"kind": "land"}') ORDER BY rank;
SELECT title FROM rag.search('places', 'harbour', mode => 'text', filter => '{"kind": "land", "size": 40}');
SELECT title FROM rag.search('places', 'harbour', filter => '{"kind": "space"}');
SELECT count(*) FROM rag.search('places', 'harbour', mode => 'vector', filter => '{}');
-- Rows are as they are now: gone, of another title, not of that kind any more.
UPDATE places SET title = 'Old harbour' WHERE id = 1;
UPDATE places SET kind = 'sea' WHERE id = 4;
DELETE FROM places WHERE id = 3;
SELECT rank, title, metadata FROM rag.search('places', 'harbour', mode => 'text');
SELECT title FROM rag.search('places', 'harbour', filter => '{"kind": "land"}');
-- Nothing to look for.
SELECT count(*) FROM rag.search('places', '');
SELECT count(*) FROM rag.search('places', E' \n ', mode => 'text');
SELECT count(*) FROM rag.search('places', 'the of and', mode => 'text');
SELECT count(*) AS all_by_vector, count(text_rank) AS by_text FROM rag.search('places', 'the of and');
SELECT count(*) FROM rag.search('places', 'zzzzz', mode => 'text');
SELECT count(*) FROM rag.search('places', '''; DROP TABLE places; -- \ & | ! ( <->', mode => 'text', typos => false);
-- An empty collection.
CREATE TABLE nothing (id int PRIMARY KEY, body text);
SELECT rag.create_collection('nothing', 'nothing', 'body', sync => 'manual');
SELECT count(*) FROM rag.search('nothing', 'anything');
INSERT INTO nothing VALUES (1, 'something');
SELECT * FROM rag.refresh_collection('nothing');
SELECT content FROM rag.search('nothing', 'anything');
-- Refusals.
SELECT * FROM refusal($$SELECT * FROM rag.search('no such', 'x')$$);
SELECT * FROM refusal($$SELECT * FROM rag.search(NULL, 'x')$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', NULL)$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', 'x', k => 0)$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', 'x', k => 10001)$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', 'x', k => 10, page_offset => 991)$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', 'x', mode => 'fuzzy')$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', 'x', fusion => 'sum')$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', 'x', vector_weight => 2)$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('places', 'x', vector_weight => 'NaN')$$);
SELECT * FROM refusal($$SELECT * FROM rag.search('nothing', 'x', filter => '{"a": 1}')$$);
-- The text ranking is BM25 to the last chunk, though it reads only those that can be among the best.
CREATE TABLE words (id int PRIMARY KEY, body text);
INSERT INTO words
SELECT i, string_agg('w' || floor(200 * power((hashint4extended(i * 64 + j, 7) & 1048575) / 1048576.0, 3))::int, ' ' ORDER BY j)
FROM generate_series(1, 800) i, generate_series(1, 3 + i % 30) j GROUP BY i;
SELECT rag.create_collection('words', 'words', 'body', language => 'simple', chunk_size => 1000, sync => 'manual', word_parts => false);
CREATE TABLE held AS
SELECT chunk_id, words, unnest.lexeme, cardinality(positions)::float8 AS tf FROM words_chunks, unnest(to_tsvector('simple', content));
CREATE INDEX ON held (lexeme);
ANALYZE held;
CREATE FUNCTION ranked(query text, k int) RETURNS TABLE (place bigint, chunk_id bigint, score float8) LANGUAGE sql AS $$
  WITH n AS (SELECT count(*)::float8 AS chunks, avg(words)::float8 AS average FROM words_chunks),
       q AS (SELECT DISTINCT lexeme FROM unnest(to_tsvector('simple', query))),
       d AS (SELECT lexeme, (SELECT count(*) FROM held h WHERE h.lexeme = q.lexeme)::float8 AS docs FROM q),
       s AS (SELECT chunk_id, sum(ln(1 + (chunks - docs + 0.5) / (docs + 0.5)) * tf * 1.9 / (tf + 0.9 * (0.6 + 0.4 * words / average))) AS score
             FROM held JOIN d USING (lexeme), n
             GROUP BY chunk_id)
  SELECT row_number() OVER (ORDER BY s.score DESC, s.chunk_id), s.chunk_id, s.score FROM s ORDER BY s.score DESC, s.chunk_id LIMIT k
$$;
SELECT count(*) AS compared, count(*) FILTER (WHERE c.place = c.rank AND abs(c.scored - c.score) < 1e-9) AS equal
FROM generate_series(1, 40) i
CROSS JOIN LATERAL (SELECT string_agg('w' || (i * j * 7) % 200, ' ') AS query, (ARRAY[1, 10, 100])[1 + i % 3] AS k
                    FROM generate_series(1, 1 + i % 9) j) q
CROSS JOIN LATERAL (SELECT place, rank, r.score, s.score AS scored
                    FROM ranked(q.query, q.k) r FULL JOIN rag.search('words', q.query, q.k, 'text') s ON rank = place) c;
-- Reading only.
BEGIN TRANSACTION READ ONLY;
SELECT title FROM rag.search('places', 'lighthouse', k => 1);
COMMIT;
SELECT provolatile, proparallel, prorows FROM pg_proc WHERE proname = 'search' AND pronamespace = 'rag'::regnamespace;
-- Settings are as they were.
SET search_path = pg_catalog;
SELECT title FROM rag.search('places', 'lighthouse', k => 1);
SHOW search_path;
RESET search_path;
SHOW hnsw.ef_search;
SELECT rag.drop_collection(name) FROM rag.collections ORDER BY name;
DROP TABLE places, nothing, words;
DROP FUNCTION ranked;

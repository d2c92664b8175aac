//! Hand-written SQL that does the work of `rag.search` on the same tables and indexes.

/// Vector mode: the ten nearest chunks by the HNSW index, joined to their rows.
pub fn vector(name: &str) -> String {
    format!(
        "WITH q AS MATERIALIZED (SELECT rag.embed($1, kind => 'query')::halfvec(384) AS v)
         SELECT row_number() OVER (ORDER BY n.distance) AS rank, 1 - n.distance AS score,
                jsonb_build_object('id', s.id) AS source_key, s.word AS title, n.heading, n.content,
                jsonb_build_object('dictionary', s.dictionary) AS metadata, n.chunk_id
         FROM (SELECT c.key_1, c.chunk_id, c.heading, c.content, c.embedding <=> (SELECT v FROM q) AS distance
               FROM {name}_chunks c
               ORDER BY c.embedding <=> (SELECT v FROM q)
               LIMIT 10) n
         JOIN {name} s ON s.id = n.key_1
         ORDER BY n.distance"
    )
}

/// The data that [`text`] searches: the words of a collection's chunks, with PostgreSQL's own index for them.
pub fn prepare_text(name: &str) -> String {
    format!(
        "CREATE TABLE {name}_handwritten AS
         SELECT c.chunk_id, to_tsvector('english', concat_ws(' ', s.word, c.heading, c.content)) AS tsv
         FROM {name}_chunks c JOIN {name} s ON s.id = c.key_1;
         CREATE INDEX ON {name}_handwritten USING gin (tsv) WITH (fastupdate = off);
         ANALYZE {name}_handwritten"
    )
}

/// Text mode with PostgreSQL's own means: any word, `ts_rank_cd` with length normalisation. No BM25.
pub fn text(name: &str) -> String {
    format!(
        "SELECT row_number() OVER (ORDER BY n.score DESC) AS rank, n.score, jsonb_build_object('id', s.id) AS source_key,
                s.word AS title, n.heading, n.content, jsonb_build_object('dictionary', s.dictionary) AS metadata, n.chunk_id
         FROM (SELECT c.key_1, c.chunk_id, c.heading, c.content, h.score
               FROM (SELECT h.chunk_id, ts_rank_cd(h.tsv, q.q, 1) AS score
                     FROM {name}_handwritten h,
                          (SELECT string_agg(quote_literal(lexeme), '|')::tsquery AS q
                           FROM unnest(to_tsvector('english', $1))) q
                     WHERE h.tsv @@ q.q
                     ORDER BY score DESC LIMIT 10) h
               JOIN {name}_chunks c USING (chunk_id)) n
         JOIN {name} s ON s.id = n.key_1
         ORDER BY n.score DESC"
    )
}

-- The words of passages and their parts, with weights that encode fields, and the passages' hashes.
SELECT setweight(to_tsvector(t.language::regconfig, t.title), 'A') || setweight(to_tsvector(t.language::regconfig, t.heading), 'B')
         || to_tsvector(t.language::regconfig, t.content),
       setweight(to_tsvector(t.language::regconfig, t.title_parts), 'A')
         || setweight(to_tsvector(t.language::regconfig, t.heading_parts), 'B')
         || to_tsvector(t.language::regconfig, t.content_parts),
       sha256(convert_to(t.text, 'UTF8'))
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
     t (language, title, heading, content, title_parts, heading_parts, content_parts, text, place)
ORDER BY t.place

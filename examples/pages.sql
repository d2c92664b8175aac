-- The PostgreSQL manual as a table. Reads the CSV of setup/manual.py from psql's standard input.
CREATE TABLE pages (
    id int PRIMARY KEY,
    title text NOT NULL,
    url text NOT NULL UNIQUE,
    body text NOT NULL
);
\copy pages FROM pstdin WITH (FORMAT csv, HEADER)
ANALYZE pages;

-- Partitions of a table of the log whose week ended more than the given number of days ago.
SELECT c.relname::text
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = ('rag.' || $1)::regclass
  AND c.relname ~ '^_[a-z]+_[0-9]{4}w[0-9]{2}$'
  AND to_date(right(c.relname, 7), 'IYYY"w"IW') + 7 <= (now() AT TIME ZONE 'UTC')::date - $2
ORDER BY c.relname

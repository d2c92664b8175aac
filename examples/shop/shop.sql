-- A shop whose products are Debian's packages: searched with filters, facets and pages. See README.md.
-- Run from the checkout: psql -f examples/shop/shop.sql. SHOP_PRODUCTS is the number of products, by default 50,000.
SELECT to_regclass('products') IS NULL AS missing \gset
\if :missing
  CREATE TABLE products (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL, section text NOT NULL, summary text NOT NULL, description text NOT NULL,
    price numeric NOT NULL, size bigint NOT NULL, dated date, tags text[] NOT NULL
  );
  \copy products (name, section, summary, description, price, size, dated, tags) FROM PROGRAM 'python3 examples/shop/packages.py "${SHOP_PRODUCTS:-50000}"'
  SELECT rag.create_collection('products', source => 'products', content => 'description', title => 'summary',
                               metadata => '{name,section,price,dated,tags}') \g /dev/null
\endif
-- rag.stat_collection shows the progress.
SELECT rag.wait_until_current('products') \g /dev/null

\set query 'program that draws charts'

-- The best products.
SELECT rank, metadata->>'name' AS name, title, round(similarity::numeric, 2) AS similarity
FROM rag.search('products', :'query', k => 5, per_source => true, min_similarity => 0.15);

-- Those that are cheap, in some sections, with a price that is a number and tags that are an array.
\set filter '{"price": {"$lt": 5}, "section": {"$in": ["math", "science", "graphics", "python"]}, "$not": {"tags": "role::app-data"}}'
SELECT rank, metadata->>'name' AS name, metadata->>'section' AS section, metadata->>'price' AS price
FROM rag.search('products', :'query', k => 5, per_source => true, filter => :'filter');

-- How many there are, and in which sections.
SELECT rag.count('products', :'query', :'filter') AS number;
SELECT value #>> '{}' AS section, rows FROM rag.facets('products', :'query', '{section}', k => 5);

-- Dates are compared as dates; products without one are left out.
SELECT min((metadata->>'dated')::date) >= '2020-01-01' AS recent
FROM rag.search('products', :'query', filter => '{"dated": {"$between": ["2020-01-01", "2023-12-31"]}}');

-- The second and the third page of five.
SELECT rank, metadata->>'name' AS name FROM rag.search('products', :'query', k => 5, page_offset => 5, per_source => true);
SELECT rank, metadata->>'name' AS name FROM rag.search('products', :'query', k => 5, page_offset => 10, per_source => true);

-- Makes the table pages searchable.
CREATE EXTENSION IF NOT EXISTS ragstone CASCADE;
SELECT rag.create_collection('manual', source => 'pages', content => 'body', title => 'title',
                             metadata => '{url}', splitter => 'markdown');
-- A worker fills it; searches work before it is full.
SELECT rag.wait_until_current('manual') AS current;

-- Makes the table pages searchable.
CREATE EXTENSION IF NOT EXISTS ragstone CASCADE;
SELECT rag.create_collection('manual', source => 'pages', content => 'body', title => 'title',
                             metadata => '{url}', splitter => 'markdown');
-- A worker fills it; whoever cannot wait may search already.
SELECT rag.wait_until_current('manual') AS current;

-- Something to ask about: the rules of a library, as a table and a collection of it. Included by ask.sql, chat.sql and jobs.sql.
SELECT to_regclass('library_rules') IS NULL AS missing \gset
\if :missing
  CREATE TABLE library_rules (id int PRIMARY KEY, title text NOT NULL, body text NOT NULL);
  INSERT INTO library_rules VALUES
    (1, 'Opening hours', 'The library is open from nine to five on weekdays. On Saturdays it closes at noon, and it is closed on Sundays.'),
    (2, 'Borrowing', 'A reader may borrow ten books for four weeks. A loan can be renewed twice, unless another reader waits for the book.'),
    (3, 'Fees', 'A book that comes late costs 20 cents a day, but never more than ten euros. A lost book is paid for at its price.');
  SELECT rag.create_collection('library', source => 'library_rules', content => 'body', title => 'title') \g /dev/null
\endif
SELECT rag.wait_until_current('library') \g /dev/null

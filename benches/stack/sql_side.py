"""Ragstone, with one session and plain queries."""

import psycopg

SEARCH = "SELECT rank FROM rag.search('filled', %s, k => 10, mode => %s)"


class Sql:
    """A database with the pages in a table."""

    def __init__(self, pages, questions, log, url):
        self.questions, self.log = questions, log
        self.session = psycopg.connect("dbname=stack_ragstone", autocommit=True)
        run = self.session.execute
        run("CREATE EXTENSION ragstone CASCADE")
        run("CREATE TABLE pages (id int PRIMARY KEY, title text, url text, body text)")
        with self.session.cursor() as cursor, cursor.copy("COPY pages FROM STDIN") as copy:
            for page in pages:
                copy.write_row(page)
        run(
            "SELECT rag.create_provider('at_once', kind => 'openai', api_key => 'none', base_url => %s, model => 'at-once')",
            [url],
        )
        self.filled = False
        self.passages = [
            row[0] for row in run("SELECT c.content FROM pages p, rag.chunk(p.body, splitter => 'markdown') c")
        ][:500]
        self.embed()

    def one(self, statement, *arguments):
        return self.session.execute(statement, arguments).fetchone()[0]

    def chunk(self):
        return self.one("SELECT count(*) FROM pages p, rag.chunk(p.body, splitter => 'markdown')")

    def embed(self):
        return self.one("SELECT cardinality(rag.embed(%s::text[]))", self.passages)

    def fill(self):
        """Creates the collection and waits until it is current, with its indexes."""
        if self.filled:
            self.session.execute("SELECT rag.drop_collection('filled')")
        self.filled = True
        self.session.execute(
            "SELECT rag.create_collection('filled', source => 'pages', content => 'body', title => 'title', splitter => 'markdown')"
        )
        self.one("SELECT rag.wait_until_current('filled')")
        return self.one("SELECT count(*) FROM filled_chunks")

    def search(self, mode):
        for question in self.questions:
            self.session.execute(SEARCH, [question, mode]).fetchall()
        return len(self.questions)

    def text(self):
        return self.search("text")

    def vector(self):
        return self.search("vector")

    def hybrid(self):
        return self.search("hybrid")

    def parse_log(self):
        return self.one("SELECT count(*) FROM rag.parse_log(%s)", self.log)

    def ask(self):
        for question in self.questions:
            self.one(
                "SELECT answer FROM rag.ask('filled', %s, model => 'at_once', k => 10, min_similarity => 0)", question
            )
        return len(self.questions)

    def close(self):
        self.session.close()

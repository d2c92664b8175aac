"""What django-ragstone promises, with the collections of a transaction that is rolled back."""

from datetime import date
from decimal import Decimal
from importlib.metadata import version
from importlib.resources import files

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.paginator import Paginator
from django.db import ProgrammingError, connection, models
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter
from django.http import HttpRequest
from django.test import TestCase, TransactionTestCase

from ragstone import jobs, searches
from ragstone.functions import Search
from ragstone.models import Collection, Passage, Session
from ragstone.operations import AlterCollection, CreateCollection, DropCollection
from ragstone.streams import astream, stream
from shelf.models import Author, Book, Leaf, Shelf

BOOKS = [
    ("Bread", "Flour, water and yeast become bread in a hot oven.", "Anna", "9.50", "2001-05-01"),
    ("Cake", "Sugar, butter and flour become cake in an oven.", "Anna", "12", "2004-05-01"),
    ("Sails", "A sail drives the boat where the wind comes from astern.", "Ben", "30", "2010-05-01"),
    ("Knots", "A bowline holds the boat, and a reef knot shortens the sail.", "Ben", "8", "2020-05-01"),
]


def titles(books):
    return [book.title for book in books]


class QuerySetTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        for title, text, author, price, published in BOOKS:
            author, _ = Author.objects.get_or_create(name=author)
            Book.objects.create(title=title, text=text, author=author, price=price, published=published)
        shelf = Shelf.objects.create(name="Kitchen")
        shelf.books.set(Book.objects.filter(author__name="Anna"))

    def test_rows_come_in_the_order_of_the_search(self):
        found = Book.objects.rag_search("reef knot", mode="text")
        self.assertEqual(titles(found), ["Knots"])
        self.assertEqual(found[0].rag_rank, 1)
        self.assertIn("bowline", found[0].rag_content)
        self.assertEqual(titles(Book.objects.rag_search("how do I bake?"))[:2], ["Cake", "Bread"])

    def test_filters_of_the_search_have_fields_and_values_of_python(self):
        anna = Author.objects.get(name="Anna")
        wanted = {"author": anna.pk, "price": {"$lt": Decimal(10)}, "published": {"$gte": date(2001, 1, 1)}}
        self.assertEqual(titles(Book.objects.rag_search("oven", filter=wanted)), ["Bread"])
        either = {"$or": [{"author": 0}, {"$not": {"author": anna.pk}}]}
        self.assertEqual(set(titles(Book.objects.rag_search("oven", filter=either))), {"Sails", "Knots"})

    def test_conditions_before_and_after_choose_among_the_results(self):
        self.assertEqual(titles(Book.objects.filter(price__lt=10).rag_search("oven", mode="text")), ["Bread"])
        self.assertEqual(titles(Book.objects.rag_search("oven", mode="text").exclude(price__lt=10)), ["Cake"])
        self.assertEqual(titles(Book.objects.rag_search("boat", mode="text").filter(rag_rank=1)), ["Sails"])
        self.assertEqual(titles(Book.objects.rag_search("oven", k=1, mode="text").filter(author__name="Ben")), [])

    def test_joins_annotations_and_orders(self):
        found = Book.objects.rag_search("boat", mode="text").select_related("author").filter(author__name="Ben")
        with self.assertNumQueries(1):
            self.assertEqual({book.author.name for book in found}, {"Ben"})
        dear = found.annotate(double=models.F("price") * 2).order_by("-double").values_list("title", "double")
        self.assertEqual(list(dear), [("Sails", Decimal(60)), ("Knots", Decimal(16))])
        self.assertEqual(Book.objects.rag_search("oven", mode="text").filter(shelves__name="Kitchen").count(), 2)
        authors = Author.objects.filter(books__in=Book.objects.rag_search("boat", mode="text").values("pk"))
        self.assertEqual({author.name for author in authors}, {"Ben"})
        self.assertEqual(
            found.aggregate(best=models.Min("rag_rank"), number=models.Count("pk")), {"best": 1, "number": 2}
        )
        by_author = Book.objects.rag_search("oven", mode="text").order_by().values("author__name")
        self.assertEqual(list(by_author.annotate(number=models.Count("pk"))), [{"author__name": "Anna", "number": 2}])

    def test_unions_of_conditions_search_once(self):
        found = Book.objects.rag_search("boat", mode="text")
        both = found.filter(title="Sails") | found.filter(title="Knots")
        self.assertEqual(set(titles(both)), {"Sails", "Knots"})
        self.assertEqual(str(both.query).count("rag.search("), 1)

    def test_pages_slices_and_counts(self):
        found = Book.objects.rag_search("boat oven", mode="text")
        self.assertEqual((found.count(), len(found), found.exists()), (4, 4, True))
        pages = Paginator(found, 3)
        self.assertEqual((pages.count, pages.num_pages), (4, 2))
        self.assertEqual(titles(pages.page(1)) + titles(pages.page(2)), titles(found))
        self.assertEqual(titles(found[1:3]), titles(found)[1:3])
        second = Book.objects.rag_search("boat oven", mode="text", k=2, page_offset=2)
        self.assertEqual(titles(second), titles(found)[2:])
        self.assertEqual([book.rag_rank for book in second], [3, 4])
        with self.assertRaisesMessage(TypeError, "sliced"):
            Book.objects.all()[:1].rag_search("boat")

    def test_changes_and_deletions_of_what_was_found(self):
        Book.objects.rag_search("boat", mode="text").update(price=1)
        self.assertEqual(Book.objects.filter(price=1).count(), 2)
        Book.objects.rag_search("oven", mode="text").delete()
        self.assertEqual(set(titles(Book.objects.all())), {"Sails", "Knots"})
        self.assertEqual(titles(Book.objects.rag_search("oven", mode="text")), [])

    def test_managers_of_relations_search_their_rows(self):
        anna = Author.objects.get(name="Anna")
        self.assertEqual(titles(anna.books.rag_search("flour", mode="text").filter(price__lt=10)), ["Bread"])
        self.assertEqual(titles(Shelf.objects.get().books.rag_search("boat", mode="text")), [])

    def test_a_key_of_two_columns(self):
        sails = Book.objects.get(title="Sails")
        Leaf.objects.create(book=sails, number=1, text="The mast stands.")
        Leaf.objects.create(book=sails, number=2, text="The mast falls in the storm.")
        self.assertEqual([leaf.pk for leaf in Leaf.objects.rag_search("storm", mode="text")], [(sails.pk, 2)])

    def test_counts_and_facets(self):
        self.assertEqual(Book.objects.rag_count("oven"), 2)
        self.assertEqual(Book.objects.rag_count(filter={"price": {"$gt": 10}}), 2)
        anna = Author.objects.get(name="Anna").pk
        self.assertEqual(Book.objects.rag_facets("oven", ["author"]), {"author_id": [searches.Facet(anna, 2)]})

    def test_the_best_passage_of_each_row(self):
        best = Author.objects.annotate(book=Search("books", models.F("name"), "title", "text")).order_by("name")
        self.assertEqual([author.book for author in best], [None, None])
        text = models.Value("yeast")
        with_passage = Author.objects.annotate(passage=Search("books", text, mode="text", filter={"price": 9.5}))
        self.assertIn("Flour, water and yeast", with_passage[0].passage)
        with self.assertRaises(ValueError):
            Search("books", "x", "1; DROP TABLE x")

    def test_whatever_a_visitor_types_is_a_value(self):
        for query in ("'", "%s %%", "a) AS x; --", "\x01", "\\"):
            Book.objects.rag_search(query).count()
        with self.assertRaises(TypeError):
            Book.objects.rag_search("x", **{"k => 1); --": 1})
        with self.assertRaises(ProgrammingError):
            list(Book.objects.rag_search("x", filter={"colour": "red"}))

    def test_a_model_without_a_collection_says_so(self):
        with self.assertRaisesMessage(ImproperlyConfigured, "SearchManager"):
            from ragstone.querysets import SearchQuerySet

            SearchQuerySet(Author).rag_search("x")

    def test_passages_are_instances_without_a_table(self):
        passage = Passage.objects.search("books", "reef knot", k=1, mode="text")[0]
        self.assertEqual((passage.title, passage.seq), ("Knots", 1))
        self.assertIn("\x02reef\x03 \x02knot\x03", passage.marked)


class OperationTest(TransactionTestCase):
    def run_operation(self, operation, backwards=False):
        state = ProjectState.from_apps(Book._meta.apps)
        with connection.schema_editor() as editor:
            (operation.database_backwards if backwards else operation.database_forwards)("shelf", editor, state, state)

    def exists(self, name):
        return Collection.objects.filter(pk=name).exists()

    def test_collections_are_created_and_dropped_in_both_directions(self):
        create = CreateCollection("texts", "Book", content="text", metadata=["author"], options={"sync": "manual"})
        self.run_operation(create)
        self.assertTrue(self.exists("texts"))
        self.assertEqual(Collection.objects.get(pk="texts").sync, "manual")
        self.run_operation(create, backwards=True)
        self.assertFalse(self.exists("texts"))
        drop = DropCollection("texts", table="shelf_book", content="body")
        self.run_operation(drop, backwards=True)
        self.assertEqual(Collection.objects.get(pk="texts").sync, "immediate")
        self.run_operation(drop)
        self.assertFalse(self.exists("texts"))
        self.assertFalse(DropCollection("texts").reversible)

    def test_options_change_in_both_directions(self):
        self.run_operation(CreateCollection("texts", "Book", content="text", options={"chunk_size": 64}))
        alter = AlterCollection("texts", {"ignore_accents": True}, {"ignore_accents": False})
        for backwards in (False, True):
            self.run_operation(alter, backwards)
            with connection.cursor() as cursor:
                cursor.execute("SELECT ignore_accents FROM rag.collections WHERE name = 'texts'")
                self.assertEqual(cursor.fetchone()[0], not backwards)
        self.assertFalse(AlterCollection("texts", {"chunk_size": 32}).reversible)
        self.run_operation(DropCollection("texts"))

    def test_the_migration_of_this_application_reverses(self):
        call_command("migrate", "shelf", "0001", verbosity=0)
        self.assertFalse(self.exists("books"))
        call_command("migrate", "shelf", verbosity=0)
        self.assertTrue(self.exists("books"))

    def test_operations_can_be_written_into_a_migration(self):
        operation = CreateCollection("texts", "Book", content="text", metadata=["author"])
        code, imports = OperationWriter(operation, indentation=0).serialize()
        self.assertIn("import ragstone.operations", imports)
        self.assertIn("content='text'", code)
        self.assertEqual(operation.describe(), "Creates the collection texts of Book")
        self.assertEqual(operation.migration_name_fragment, "texts_collection")

    def test_invalid_operations_are_refused(self):
        for arguments, options in (
            (("a",), {"content": "b"}),
            (("a", "B"), {"table": "c", "content": "b"}),
            (("a", "B"), {}),
        ):
            with self.assertRaises(TypeError):
                CreateCollection(*arguments, **options)
        with self.assertRaises(ProgrammingError):
            self.run_operation(CreateCollection("texts", "Book", content="text", options={"colour": "red"}))

    def test_no_migration_is_missing(self):
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)


class StreamTest(TransactionTestCase):
    def ask(self):
        anna = Author.objects.create(name="Anna")
        text = "A reader may borrow ten books for four weeks."
        Book.objects.create(title="Rules", text=text, author=anna, price=0, published="2020-01-01")
        return jobs.submit("ask", collection="books", question="How many books may a reader borrow?")

    def assertEvents(self, response, content):
        self.assertEqual(response["Content-Type"], "text/event-stream")
        self.assertTrue(content.endswith("\n\n"), content)
        self.assertIn('event: done\ndata: {"html": "A reader may borrow ten books', content)

    def test_wsgi(self):
        response = stream(HttpRequest(), self.ask(), lambda result: result["answer"])
        self.assertEvents(response, b"".join(response.streaming_content).decode())

    async def test_asgi(self):
        job = await sync_to_async(self.ask)()
        response = astream(HttpRequest(), job, lambda result: result["answer"])
        self.assertEvents(response, b"".join([part async for part in response.streaming_content]).decode())

    def test_a_job_that_fails_ends_the_stream(self):
        response = stream(HttpRequest(), jobs.submit("ask", collection="nothing", question="x"), str)
        self.assertIn("event: failed", b"".join(response.streaming_content).decode())


class PackageTest(TestCase):
    def test_it_is_typed_and_has_a_version(self):
        self.assertTrue(files("ragstone").joinpath("py.typed").is_file())
        with connection.cursor() as cursor:
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'ragstone'")
            self.assertEqual(cursor.fetchone()[0], version("django-ragstone"))

    def test_every_view_has_the_columns_of_its_model(self):
        for model in Session._meta.app_config.get_models():
            if model is not Passage:
                list(model.objects.all()[:1])

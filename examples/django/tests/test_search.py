import pytest
from django.urls import reverse

from knowledge.models import Document
from knowledge.templatetags.passages import marked
from knowledge.templatetags.reading import whole_text
from ragstone.models import Passage
from tests.conftest import execute

HOME = reverse("search")


def test_search_shows_passages_with_their_words_marked(client):
    page = client.get(HOME, {"q": "how do I take a base backup?"}).content.decode()
    assert '<a href="/read/manual/2/?q=' in page
    assert "<mark>takes</mark> a <mark>base</mark> <mark>backup</mark> of a running server" in page


def test_search_finds_by_meaning(client):
    first = client.get(HOME, {"q": "reclaim disk storage of deleted records"}).context["passages"][0]
    assert first.title == "Routine Vacuuming"


def test_a_question_is_asked_for_where_there_is_none(client):
    page = client.get(HOME)
    assert page.status_code == 200
    assert 'type="search"' in page.content.decode()


def test_no_page_may_run_scripts_of_others(client):
    policy = client.get(HOME)["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy


def test_facets_count_and_narrow_down(client):
    wide = client.get(HOME, {"q": "base backup"})
    assert {("backup.html", 1, False), ("wal.html", 1, False)} <= set(wide.context["facets"]["url"])
    narrow = client.get(HOME, {"q": "base backup", "facet": "url:wal.html"})
    assert [passage.title for passage in narrow.context["passages"]] == ["Write-ahead log"]
    assert {("backup.html", 1, False), ("wal.html", 1, True)} <= set(narrow.context["facets"]["url"])
    assert "show all again" in narrow.content.decode()


def test_two_values_of_a_facet_are_alternatives_and_two_facets_are_both_wanted(client):
    for title, kind, by in [("a", "text", "anna"), ("b", "markdown", "anna"), ("c", "html", "ben")]:
        Document.objects.create(title=title, kind=kind, body="Two a day is the fee.", uploaded_by=by)
    execute("SELECT rag.wait_until_current('documents', '30 s')")
    asked = {"q": "what is the fee?", "in": "documents"}

    def found(*facets):
        page = client.get(HOME, asked | {"facet": facets})
        return {passage.title for passage in page.context["passages"]}, page.context["facets"]

    assert found("kind:text", "kind:html")[0] == {"a", "c"}
    titles, facets = found("kind:text", "kind:html", "uploaded_by:anna")
    assert titles == {"a"}
    assert sorted(facets["kind"]) == [("markdown", 1, False), ("text", 1, True)]
    assert sorted(facets["uploaded_by"]) == [("anna", 1, True), ("ben", 1, False)]


def test_pages_repeat_and_skip_no_text(client):
    for number in range(23):
        Document.objects.create(title=f"Fee {number}", kind="text", body=f"Fee {number} a day.", uploaded_by="x")
    execute("SELECT rag.wait_until_current('documents', '60 s')")
    asked = {"q": "fee a day", "in": "documents", "facet": "kind:text"}
    pages = [client.get(HOME, asked | {"page": page}) for page in (1, 2, 3)]
    titles = [passage.title for page in pages for passage in page.context["passages"]]
    assert len(set(titles)) == len(titles) == 23
    assert "1 to 10 about" in pages[0].content.decode()
    assert 'rel="next"' in pages[0].content.decode()
    assert "21 to 23 about" in pages[2].content.decode()
    assert 'rel="next"' not in pages[2].content.decode()
    assert 'facet=kind%3Atext&amp;page=2"' in pages[2].content.decode()
    assert "There are no further results." in client.get(HOME, asked | {"page": 9}).content.decode()


@pytest.mark.parametrize("page", ["", "0", "-1", "x", "9" * 30, "²"])
def test_any_text_is_a_page(client, page):
    assert client.get(HOME, {"q": "base backup", "page": page}).status_code == 200


def test_what_has_nothing_to_do_with_the_query_is_not_shown(client):
    page = client.get(HOME, {"q": "zzxxqqvv"})
    assert page.context["passages"] == []
    assert "Nothing was found. Other words may help." in page.content.decode()


def test_a_facet_that_the_collection_does_not_have_is_refused_beside_the_form(client):
    reply = client.get(HOME, {"q": "backup", "facet": "colour:red"})
    assert reply.status_code == 400
    assert "cannot be narrowed down by this" in reply.content.decode()


def test_an_empty_collection_is_said_to_have_no_texts(client):
    assert "documents has no texts yet." in client.get(HOME, {"q": "backup", "in": "documents"}).content.decode()


def test_collections_that_do_not_exist_are_not_offered(client, settings):
    settings.RAGSTONE_SOURCES = settings.RAGSTONE_SOURCES | {"drafts": "knowledge.Document"}
    assert client.get(HOME).context["collections"] == ["manual", "documents"]


def test_a_collection_that_has_not_been_made_is_named_beside_the_form(client, settings):
    settings.RAGSTONE_SOURCES = settings.RAGSTONE_SOURCES | {"drafts": "knowledge.Document"}
    reply = client.get(HOME, {"q": "backup", "in": "drafts"})
    page = reply.content.decode()
    assert reply.status_code == 404
    assert "There is no collection “drafts” yet." in page
    assert 'value="backup"' in page
    assert "Nothing was found" not in page


def test_while_a_collection_is_indexed_a_search_that_finds_nothing_says_so(client, engine_away):
    Document.objects.create(title="Fees", kind="text", body="Two a day.", uploaded_by="x")
    page = client.get(HOME, {"q": "fees", "in": "documents"}).content.decode()
    assert "documents is being indexed: 1 row left. Not all texts can be found yet." in page
    assert "Nothing was found" not in page


def test_a_collection_that_is_not_the_applications_is_not_found(client):
    assert client.get(HOME, {"q": "backup", "in": "secret"}).status_code == 404


def test_a_result_opens_its_text_with_the_passage_marked(client):
    passage = next(iter(Passage.objects.search("manual", "base backup", k=1)))
    address = reverse("read", args=["manual", passage.key])
    page = client.get(address, {"q": "base backup", "chunk": passage.chunk_id}).content.decode()
    assert '<div class="quoted" id="passage" tabindex="-1">' in page
    assert client.get(reverse("read", args=["manual", 99])).status_code == 404
    assert client.get(reverse("read", args=["secret", 1])).status_code == 404


def test_markup_in_a_text_is_text(client):
    document = Document.objects.create(
        title="<b>", kind="text", body="<script>alert('backup')</script>", uploaded_by="x"
    )
    execute("SELECT rag.wait_until_current('documents', '30 s')")
    for address, values in [(HOME, {"q": "backup", "in": "documents"}), (document.get_absolute_url(), {})]:
        page = client.get(address, values).content.decode()
        assert "alert(" in page
        assert "<script>alert" not in page


@pytest.mark.parametrize("query", ["\x01", "%s", "'", "a & ! b:*", "😀" * 500, "x" * 5000])
def test_any_text_is_a_query(client, query):
    assert client.get(HOME, {"q": query}).status_code == 200


def test_a_query_with_a_nul_character_is_refused_in_the_form(client):
    page = client.get(HOME, {"q": "base\0backup"})
    assert page.status_code == 400
    assert "Null characters are not allowed." in page.content.decode()
    assert 'type="search"' in page.content.decode()


@pytest.mark.parametrize(
    ("address", "values"),
    [
        (HOME, {"q": "backup", "facet": "url:\0"}),
        (HOME, {"q": "backup", "facet": "\0:a"}),
        (reverse("read", args=["manual", 1]), {"q": "a\0b", "chunk": "1"}),
    ],
)
def test_a_nul_character_elsewhere_is_a_bad_request(client, address, values):
    page = client.get(address, values)
    assert page.status_code == 400
    assert "U+0000" in page.content.decode()


def test_a_nul_character_in_a_cookie_is_a_bad_request(client):
    client.cookies["sessionid"] = "a\0" * 10
    assert client.get(HOME).status_code == 400


def test_a_number_that_is_too_long_marks_nothing(client):
    page = client.get(reverse("read", args=["manual", 1]), {"q": "vacuum", "chunk": "1" * 5000})
    assert page.status_code == 200
    assert client.get(f"/read/manual/{'9' * 30}/").status_code == 404


def test_without_the_engine_passages_are_found_by_their_words(client, engine_away):
    page = client.get(HOME, {"q": "base backup"})
    assert page.context["passages"][0].title in ("Backup", "Write-ahead log")
    assert "found by their words alone" in page.content.decode()


def test_without_the_database_a_page_says_so(admin_client, database_away):
    for address in (HOME, HOME + "?q=backup", reverse("chat"), reverse("documents")):
        page = admin_client.get(address)
        assert page.status_code == 503
        assert "The database cannot be reached" in page.content.decode()


def test_who_may_not_read_the_source_is_told_so(client, as_reader):
    page = client.get(HOME, {"q": "base backup"})
    assert page.status_code == 403
    assert "You have no right" in page.content.decode()


def test_a_query_takes_what_rag_search_takes():
    by_words = list(Passage.objects.search("manual", "GIN", k=1, mode="text", filter={"url": "indexes.html"}))
    assert [(passage.rank, passage.title, passage.vector_rank) for passage in by_words] == [(1, "Indexes", None)]


def test_marks_are_html_and_all_else_is_escaped():
    assert marked("## A \x02b\x03 <i> `c`") == "A <mark>b</mark> &lt;i&gt; c"


def test_a_quote_of_several_places_is_marked_at_each():
    plain = Document(kind="text", body="One & two.\nThree  four.\n\nFive.\nSix.")
    html = whole_text(plain, "One & two. … Three four. … Six.")
    begin = (
        '<div class="quoted" id="passage" tabindex="-1"><div class="plain">One &amp; two.\nThree  four.\n</div></div>'
    )
    assert html.startswith(begin)
    assert html.endswith('<div class="quoted"><div class="plain">Six.\n</div></div>')
    assert whole_text(plain, None) == '<div class="plain">One &amp; two.\nThree  four.\n\nFive.\nSix.\n</div>'


def test_a_passage_of_markdown_is_one_piece():
    body = "# Backup\n\n**`-d`** is\na folder.\n\n- one\n\n- two\n\nThe end."
    html = whole_text(Document(kind="markdown", body=body), "a folder. - one")
    passage = "<p><strong><code>-d</code></strong> is\na folder.</p>\n<ul>\n"
    assert html.startswith(f'<h2>Backup</h2>\n<div class="quoted" id="passage" tabindex="-1">{passage}')
    assert html.endswith("</ul>\n</div><p>The end.</p>\n")
    assert html.count("quoted") == 1


@pytest.mark.parametrize(
    ("body", "html"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"),
        ("a <img src=x onerror=alert(1)>", "<p>a &lt;img src=x onerror=alert(1)&gt;</p>\n"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>\n"),
        ("[a **b**](page.html) [c](//evil.example)", "<p>a <strong>b</strong> c</p>\n"),
        ("![a <b>](https://evil.example/x.png)", "<p>a &lt;b&gt;</p>\n"),
        (
            '[a](https://example.org/?a=1&b="2")',
            '<p><a href="https://example.org/?a=1&amp;b=%222%22" rel="nofollow noreferrer">a</a></p>\n',
        ),
    ],
)
def test_markdown_of_any_user_is_harmless(body, html):
    assert whole_text(Document(kind="markdown", body=body), None) == html

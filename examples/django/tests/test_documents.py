import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from knowledge import uploads
from knowledge.models import Document
from ragstone.models import Passage
from tests.conftest import eventually, execute

DOCUMENTS, UPLOAD, STATE = reverse("documents"), reverse("upload"), reverse("documents-state")
HTML = b"""<html><head><title> Opening
hours </title><style>p {}</style></head><body><nav>Menu</nav><h1>Hours</h1>
<p>The reading room is open <b>until nine</b>.</p><script>track()</script></body></html>"""


def file(name, content):
    return SimpleUploadedFile(name, content)


@pytest.fixture
def reader(client, librarian):
    client.force_login(librarian)
    return client


@pytest.mark.parametrize(
    ("name", "content", "kind", "title", "body"),
    [
        (
            "fees.txt",
            b"\xef\xbb\xbfA book that comes late costs a fee.",
            "text",
            "fees",
            "A book that comes late costs a fee.",
        ),
        ("fees.md", b"# Fees\n\nTwo a day.", "markdown", "fees", "# Fees\n\nTwo a day."),
        ("nul.html", b"<title>a&#0;b</title>c&#x0;d", "html", "a\ufffdb", "a\ufffdbc\ufffdd"),
        ("hours.HTML", HTML, "html", "Opening hours", "# Hours\n\nThe reading room is open **until nine**."),
    ],
)
def test_a_file_becomes_a_document(reader, name, content, kind, title, body):
    assert reader.post(UPLOAD, {"file": file(name, content)}).url == DOCUMENTS
    document = Document.objects.get()
    assert (document.kind, document.title, document.uploaded_by) == (kind, title, "librarian")
    assert document.body == body
    assert title in reader.get(DOCUMENTS).content.decode()


def test_a_document_can_be_searched_and_is_gone_with_its_row(reader):
    reader.post(UPLOAD, {"file": file("fees.txt", b"A book that comes late costs a fee."), "title": "Fees"})
    assert execute("SELECT rag.wait_until_current('documents', '30 s')")
    assert [passage.title for passage in Passage.objects.search("documents", "what does a late book cost?")] == ["Fees"]
    Document.objects.all().delete()
    assert list(Passage.objects.search("documents", "late book")) == []


def test_the_page_says_until_when_documents_are_being_indexed(reader, engine_away):
    reader.post(UPLOAD, {"file": file("fees.txt", b"A book that comes late costs a fee.")})
    assert reader.get(STATE).json() == {"queued": 1}
    assert "1 document being indexed" in reader.get(DOCUMENTS).content.decode()


def test_indexing_goes_on_when_the_engine_is_back(reader):
    reader.post(UPLOAD, {"file": file("fees.txt", b"A book that comes late costs a fee.")})
    eventually(lambda: reader.get(STATE).json() == {"queued": 0})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fees.pdf", b"%PDF-1.7", "none of the files that can be read"),
        ("fees", b"no name", "none of the files that can be read"),
        ("fees.txt", "Gebühr".encode("latin-1"), "not UTF-8"),
        ("fees.txt", b"PK\x03\x04\x00\x00", "binary"),
        ("fees.txt", b"", "no text"),
        ("fees.txt", b" \n\t", "no text"),
        ("fees.html", b"<html><script>x()</script></html>", "no text"),
        ("fees.txt", b"x" * (uploads.MAX_BYTES + 1), "more than 5 MB"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(reader, name, content, message):
    page = reader.post(UPLOAD, {"file": file(name, content)})
    assert page.status_code == 422
    assert message in page.content.decode()
    told = reader.post(UPLOAD, {"file": file(name, content)}, headers={"Accept": "application/json"})
    assert told.status_code == 422
    assert message in told.json()["message"]
    assert not Document.objects.exists()


def test_a_title_with_a_nul_character_is_refused_with_a_reason(reader):
    page = reader.post(UPLOAD, {"file": file("fees.txt", b"Two."), "title": "a\0b"})
    assert page.status_code == 422
    assert "Null characters are not allowed." in page.content.decode()


def test_without_a_file_the_form_says_so(reader):
    assert "This field is required" in reader.post(UPLOAD).content.decode()


def test_a_script_is_told_where_to_go(reader):
    told = reader.post(UPLOAD, {"file": file("fees.txt", b"Two.")}, headers={"Accept": "application/json"})
    assert told.json() == {"next": DOCUMENTS}


def test_who_may_not_add_documents_cannot_upload(client, django_user_model):
    assert client.get(DOCUMENTS).url.startswith(reverse("login"))
    assert client.post(UPLOAD, {"file": file("fees.txt", b"Two.")}).status_code == 403
    client.force_login(django_user_model.objects.create_user("guest"))
    page = client.get(DOCUMENTS)
    assert page.status_code == 200
    assert 'type="file"' not in page.content.decode()
    assert client.post(UPLOAD, {"file": file("fees.txt", b"Two.")}).status_code == 403
    assert not Document.objects.exists()

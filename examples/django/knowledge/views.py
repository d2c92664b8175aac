"""Searching, reading and uploading."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import DatabaseError, DataError, OperationalError, ProgrammingError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from knowledge.forms import SearchForm, UploadForm
from knowledge.models import Document, source_of
from ragstone import searches
from ragstone.models import Collection, FailedRow, Passage
from ragstone.problems import invalid, sqlstate

MAX_QUERY = 1000
# Number of texts of a page, and of pages.
SHOWN = 10
MAX_PAGE = 10
# Number of passages among which the reading page looks for the one to mark.
FOUND = 200
ENGINE_AWAY = "57P03"
NO_COLLECTION = "42704"
# A column that is not among the metadata, or a value that is none of its type.
NO_FILTER = ("42703", "22003", "22007", "22008", "22P02")


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """Shows the texts of one collection about a question, page by page, and the facets that narrow the search."""
    form = SearchForm(request.GET)
    query = form.cleaned_data["q"][:MAX_QUERY] if form.is_valid() else ""
    collection = request.GET.get("in") or next(iter(settings.RAGSTONE_SOURCES))
    if collection not in settings.RAGSTONE_SOURCES:
        raise Http404(f"no collection {collection}")
    existing = {state.pk: state for state in Collection.objects.filter(pk__in=settings.RAGSTONE_SOURCES)}
    context = {"form": form, "query": query, "collection": collection, "state": existing.get(collection)}
    context["collections"] = [name for name in settings.RAGSTONE_SOURCES if name in existing or name == collection]
    if query:
        try:
            context |= results(collection, query, chosen_of(request), page_of(request))
        except (DataError, ProgrammingError) as error:
            status = refuse(form, collection, error)
            return render(request, "knowledge/search.html", context, status=status)
    return render(request, "knowledge/search.html", context, status=200 if form.is_valid() else 400)


def refuse(form: SearchForm, collection: str, error: DatabaseError) -> int:
    """Adds to the form why a search was refused, and returns the status. Raises any other error again."""
    if sqlstate(error) == NO_COLLECTION:
        form.add_error("q", f"There is no collection “{collection}” yet.")
        return 404
    if sqlstate(error) not in NO_FILTER:
        raise error
    form.add_error("q", f"“{collection}” cannot be narrowed down by this.")
    return 400


def chosen_of(request: HttpRequest) -> dict[str, list[str]]:
    """Returns the values that were chosen of each facet."""
    chosen: dict[str, list[str]] = {}
    for name, colon, value in (facet.partition(":") for facet in request.GET.getlist("facet")):
        if colon:
            chosen.setdefault(name, []).append(value)
    return chosen


def page_of(request: HttpRequest) -> int:
    """Returns the number of the page, from 1; an invalid one is the first."""
    page = request.GET.get("page", "1")
    return min(max(int(page), 1), MAX_PAGE) if page.isdecimal() and len(page) < 5 else 1


def results(collection: str, query: str, chosen: dict[str, list[str]], page: int) -> dict[str, Any]:
    """Returns what the page shows of a search: its rows, whether there are more, and the facets."""
    offset = (page - 1) * SHOWN
    # One more than is shown says whether there is another page.
    wanted = {"k": SHOWN + 1, "page_offset": offset, "per_source": True, "filter": conditions(chosen)}
    passages, by_words = find(collection, query, **wanted)
    return {
        "passages": passages[:SHOWN],
        "first": offset + 1,
        "last": offset + len(passages[:SHOWN]),
        "page": page,
        "next": page + 1 if len(passages) > SHOWN and page < MAX_PAGE else None,
        "by_words": by_words,
        "chosen": [(name, value) for name, values in chosen.items() for value in values],
        "facets": facets(collection, query, chosen, by_words),
    }


def conditions(chosen: dict[str, list[str]]) -> dict[str, Any] | None:
    """Returns the filter: of each facet, one of the chosen values."""
    return {name: {"$in": values} for name, values in chosen.items()} or None


def find(collection: str, query: str, **wanted: Any) -> tuple[list[Passage], bool]:
    """Returns the passages, and whether only the text index was searched, which works without the engine."""
    try:
        return list(Passage.objects.search(collection, query, min_similarity=settings.MIN_SIMILARITY, **wanted)), False
    except OperationalError as error:
        if sqlstate(error) != ENGINE_AWAY:
            raise
        return list(Passage.objects.search(collection, query, mode="text", **wanted)), True


def facets(
    collection: str, query: str, chosen: dict[str, list[str]], by_words: bool
) -> dict[str, list[tuple[str, int, bool]]]:
    """Returns values of the metadata, their numbers of rows and whether they are chosen. A facet counts the rows that fit
    the values chosen of the others, so that another value can be added."""
    nearest = None if by_words else settings.MIN_SIMILARITY

    def counted(columns: list[str] | None, filter: dict[str, list[str]]) -> dict[str, list[searches.Facet]]:
        return searches.facets(collection, query, columns, conditions(filter), k=8, min_similarity=nearest)

    found = counted(None, chosen)
    for name in chosen:
        found |= counted([name], {other: values for other, values in chosen.items() if other != name})
    return {
        name: [(str(facet.value), facet.rows, str(facet.value) in chosen.get(name, ())) for facet in values]
        for name, all_values in found.items()
        # Rows without a value, and values that are no plain ones, are not offered.
        if (values := [facet for facet in all_values if isinstance(facet.value, str | int | float)])
    }


@require_GET
def read(request: HttpRequest, collection: str, key: int) -> HttpResponse:
    """Shows a whole text, with the passage marked if the URL has a search's query and chunk."""
    text = text_of(collection, key)
    quote = None
    if (query := request.GET.get("q")) and (chunk := request.GET.get("chunk")):
        # The search finds the passage again, with the rights of the current user.
        found = find(collection, query, k=FOUND)[0]
        quote = next((passage.content for passage in found if str(passage.chunk_id) == chunk), None)
    return render(request, "knowledge/read.html", {"text": text, "collection": collection, "quote": quote})


def text_of(collection: str, key: int):
    if collection not in settings.RAGSTONE_SOURCES:
        raise Http404(f"no collection {collection}")
    return get_object_or_404(source_of(collection), pk=key)


@login_required
def documents(request: HttpRequest) -> HttpResponse:
    """Shows the uploaded documents, and how many of them can be searched."""
    context = {"documents": Document.objects.defer("body")[:200], "form": UploadForm(), **state_of_all()}
    return render(request, "knowledge/documents.html", context)


@login_required
@require_GET
def state(request: HttpRequest) -> JsonResponse:
    """Returns how many documents wait to be indexed, for the page that waits for them."""
    return JsonResponse({"queued": state_of_all()["queued"]})


def state_of_all() -> dict:
    collection = Collection.objects.filter(pk="documents").first()
    failed = FailedRow.objects.filter(collection="documents")
    return {"queued": collection.queued if collection else 0, "failed": {row.key[0]: row.message for row in failed}}


@permission_required("knowledge.add_document", raise_exception=True)
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Stores an uploaded file as a document, or shows why it cannot be read."""
    form = UploadForm(request.POST, request.FILES)
    wants_json = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    if form.is_valid():
        document = form.save(request.user.get_username())
        messages.success(request, f"“{document.title}” is here. It can be searched as soon as it is indexed.")
        return JsonResponse({"next": reverse("documents")}) if wants_json else redirect("documents")
    if wants_json:
        problem = invalid(form)
        return JsonResponse({"message": problem.message}, status=problem.status)
    context = {"documents": Document.objects.defer("body")[:200], "form": form, **state_of_all()}
    return render(request, "knowledge/documents.html", context, status=422)

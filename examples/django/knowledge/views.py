"""Searching, reading and uploading."""

from collections import Counter

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import OperationalError, ProgrammingError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from knowledge.forms import SearchForm, UploadForm
from knowledge.models import Document, source_of
from ragstone.models import Collection, FailedRow, Passage
from ragstone.problems import invalid, sqlstate

MAX_QUERY = 1000
SHOWN = 10
# Number of hits that facets count.
FOUND = 50
ENGINE_AWAY = "57P03"
NO_COLLECTION = "42704"


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """Shows passages of one collection about a question, and the facets that narrow the search."""
    form = SearchForm(request.GET)
    query = form.cleaned_data["q"][:MAX_QUERY] if form.is_valid() else ""
    collection = request.GET.get("in") or next(iter(settings.RAGSTONE_SOURCES))
    if collection not in settings.RAGSTONE_SOURCES:
        raise Http404(f"no collection {collection}")
    chosen = dict(facet.split(":", 1) for facet in request.GET.getlist("facet") if ":" in facet)
    context = {"form": form, "query": query, "collection": collection, "collections": settings.RAGSTONE_SOURCES}
    if query:
        try:
            passages, by_words = find(collection, query, chosen)
        except ProgrammingError as error:
            if sqlstate(error) != NO_COLLECTION:
                raise
            form.add_error("q", f"There is no collection “{collection}” yet.")
            return render(request, "knowledge/search.html", context, status=404)
        shown = passages if "all" in request.GET else passages[:SHOWN]
        context |= {"passages": shown, "found": len(passages), "by_words": by_words, "facets": facets(passages)}
        behind = Collection.objects.filter(pk=collection).exclude(state="current")
        context["behind"] = not passages and behind.exists()
    return render(request, "knowledge/search.html", context, status=200 if form.is_valid() else 400)


def find(collection: str, query: str, chosen: dict[str, str]) -> tuple[list[Passage], bool]:
    """Returns the passages, and whether only the text index was searched, which works without the engine."""
    wanted = {"collection": collection, "query": query, "k": FOUND, "filter": chosen or None}
    try:
        return list(Passage.objects.search(**wanted)), False
    except OperationalError as error:
        if sqlstate(error) != ENGINE_AWAY:
            raise
        return list(Passage.objects.search(**wanted, mode="text")), True


def facets(passages: list[Passage]) -> dict[str, list[tuple[str, int]]]:
    """Counts the values of the metadata among the passages, the most frequent first."""
    counters: dict[str, Counter] = {}
    for passage in passages:
        for name, value in passage.metadata.items():
            if isinstance(value, str):
                counters.setdefault(name, Counter())[value] += 1
    return {name: counter.most_common(8) for name, counter in counters.items()}


@require_GET
def read(request: HttpRequest, collection: str, key: int) -> HttpResponse:
    """Shows a whole text, with the passage marked if the URL has a search's query and chunk."""
    text = text_of(collection, key)
    quote = None
    if (query := request.GET.get("q")) and (chunk := request.GET.get("chunk")):
        # The search finds the passage again, with the rights of the current user.
        found = find(collection, query, {})[0]
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

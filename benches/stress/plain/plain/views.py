"""The pages of examples/django without Ragstone: the web server's process does the work that the database did."""

from collections.abc import Iterator

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from knowledge.forms import SearchForm, UploadForm
from knowledge.models import Document
from knowledge.views import MAX_PAGE, MAX_QUERY, SHOWN, chosen_of, page_of
from plain.answers import answer
from plain.embedding import embed, passages
from plain.forms import QuestionForm
from plain.models import CHUNKS, Conversation, DocumentChunk, Message
from plain.search import page as page_about
from ragstone.streams import HEADERS, event


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    form = SearchForm(request.GET)
    query = form.cleaned_data["q"][:MAX_QUERY] if form.is_valid() else ""
    collection = request.GET.get("in") or next(iter(CHUNKS))
    if collection not in CHUNKS:
        raise Http404(f"no collection {collection}")
    context = {"form": form, "query": query, "collection": collection, "collections": CHUNKS}
    if query:
        chosen, page = chosen_of(request), page_of(request)
        offset = (page - 1) * SHOWN
        # One more than is shown says whether there is another page.
        passages, facets = page_about(collection, query, chosen, offset, SHOWN + 1)
        context |= {
            "passages": passages[:SHOWN],
            "first": offset + 1,
            "last": offset + len(passages[:SHOWN]),
            "page": page,
            "next": page + 1 if len(passages) > SHOWN and page < MAX_PAGE else None,
            "chosen": [(name, value) for name, values in chosen.items() for value in values],
            "facets": facets,
        }
    return render(request, "knowledge/search.html", context, status=200 if form.is_valid() else 400)


@login_required
def documents(request: HttpRequest) -> HttpResponse:
    context = {"documents": Document.objects.defer("body")[:200], "form": UploadForm()}
    return render(request, "knowledge/documents.html", context)


@permission_required("knowledge.add_document", raise_exception=True)
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Stores a document and indexes it before responding, because no background worker does it."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return render(request, "knowledge/documents.html", {"documents": [], "form": form}, status=422)
    cut = passages(form.read[2])
    vectors = embed(cut)
    with transaction.atomic():
        document = form.save(request.user.get_username())
        metadata = {"kind": document.kind, "uploaded_by": document.uploaded_by}
        DocumentChunk.objects.bulk_create(
            DocumentChunk(key=document.pk, title=document.title, content=text, metadata=metadata, embedding=vector)
            for text, vector in zip(cut, vectors, strict=True)
        )
    messages.success(request, f"“{document.title}” is here.")
    return redirect("documents")


def conversation_of(request: HttpRequest, session: int) -> Conversation:
    return get_object_or_404(Conversation, pk=session, visitor=visitor(request))


def visitor(request: HttpRequest) -> str:
    if not request.session.session_key:
        request.session.create()
    return request.session.session_key


@require_http_methods(["GET", "POST"])
def chat(request: HttpRequest) -> HttpResponse:
    form = QuestionForm(request.POST or None)
    mine = Conversation.objects.filter(visitor=visitor(request))
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        begun = {"title": said["message"][:80], "collection": said["collection"]}
        conversation, is_new = mine.get_or_create(visitor=visitor(request), key=said["key"], defaults=begun)
        if is_new:
            conversation.messages.create(role="user", content=said["message"], persona=said["persona"])
        return redirect("conversation", conversation.pk)
    return render(request, "chat/index.html", {"form": form, "conversations": mine[:50]})


@require_GET
def conversation(request: HttpRequest, session: int) -> HttpResponse:
    conversation = conversation_of(request, session)
    said = list(conversation.messages.all())
    context = {"conversation": conversation, "form": QuestionForm(initial={"collection": conversation.collection})}
    if said and said[-1].role == "user":
        context["pending"] = {"args": {"message": said.pop().content}}
    return render(request, "chat/conversation.html", context | {"said": said})


@require_GET
def events(request: HttpRequest, session: int) -> HttpResponse:
    """Answers the latest question while the browser listens; a reload of the page answers it again."""
    conversation = conversation_of(request, session)
    question = conversation.messages.filter(role="user").last()

    def pieces() -> Iterator[str]:
        text, citations = "", []
        for number, (piece, citation) in enumerate(answer(conversation.collection, question.content), 1):
            text += piece
            citations += [citation] if citation else []
            yield event("piece", {"text": piece}, number)
        said = {"role": "assistant", "content": text, "citations": citations, "persona": question.persona}
        message = Message.objects.create(session=conversation, model="sentences", **said)
        yield event("done", {"html": render_to_string("chat/message.html", {"message": message}, request)})

    return StreamingHttpResponse(pieces(), content_type="text/event-stream", headers=HEADERS)


def left_out(request: HttpRequest, **_) -> HttpResponse:
    """The target of links that this comparison leaves out."""
    raise Http404

"""Conversations. A question is a job whose answer arrives as server-sent events, so no transaction is open meanwhile."""

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.db.models import Value
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from chat.forms import PersonaForm, QuestionForm, RatingForm
from chat.models import Conversation
from knowledge.views import text_of
from ragstone.functions import Feedback
from ragstone.models import Job, Message, Persona
from ragstone.problems import PROBLEMS, UNFORESEEN, invalid
from ragstone.streams import stream


def visitor(request: HttpRequest) -> str:
    """Returns the browser's identifier, which stays the same after a login."""
    return request.session.setdefault("visitor", uuid.uuid4().hex)


def conversation_of(request: HttpRequest, session: int) -> Conversation:
    return get_object_or_404(Conversation.objects.select_related("session"), pk=session, visitor=visitor(request))


@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """Shows a visitor's conversations, and a form that starts another one."""
    form = QuestionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        conversation = Conversation.objects.begin(
            visitor(request), said["collection"], said["message"], said["persona"], said["key"]
        )
        return redirect("conversation", conversation.pk)
    mine = Conversation.objects.filter(visitor=visitor(request)).select_related("session")[:50]
    return render(request, "chat/index.html", {"form": form, "conversations": mine})


@require_http_methods(["GET", "POST"])
def conversation(request: HttpRequest, session: int) -> HttpResponse:
    """Shows the messages and the answer in progress; all of it is in the database, so a reload shows the same."""
    conversation = conversation_of(request, session)
    job = conversation.latest_job
    form = QuestionForm(request.POST or None, initial=begun_with(conversation, job))
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        conversation.say(said["message"], said["persona"], said["key"])
        return redirect("conversation", session)
    context = {"conversation": conversation, "form": form, "said": list(conversation.messages)}
    if job and job.status in ("queued", "running"):
        context["pending"] = job
    elif job and job.status in ("failed", "cancelled"):
        context |= {"failed": job, "problem": PROBLEMS.get(job.sqlstate, UNFORESEEN)}
    return render(request, "chat/conversation.html", context)


def begun_with(conversation: Conversation, job: Job | None) -> dict:
    """Returns the collection and persona of the latest question; the session stores them only after the answer."""
    persona = job.args.get("persona") if job else None
    return {"collection": conversation.session.collection, "persona": persona or conversation.session.persona}


@require_GET
def events(request: HttpRequest, session: int) -> HttpResponse:
    """Streams the answer to the latest question."""
    conversation = conversation_of(request, session)
    if conversation.job is None:
        raise Http404("nothing was asked")

    def answer(result: dict) -> str:
        message = Message.objects.get(pk=result["message_id"])
        return render_to_string("chat/message.html", {"message": message}, request)

    return stream(request, conversation.job, answer)


@require_GET
def citation(request: HttpRequest, session: int, message: int, number: int) -> HttpResponse:
    """Shows the text that an answer cites, with the passage marked."""
    conversation = conversation_of(request, session)
    cited = get_object_or_404(conversation.messages, pk=message).citations or []
    found = next((citation for citation in cited if citation["number"] == number), None)
    if found is None:
        raise Http404(f"no citation {number}")
    collection = conversation.session.collection
    text = text_of(collection, next(iter(found["source_key"].values())))
    context = {"text": text, "collection": collection, "quote": found["quote"], "back": conversation}
    return render(request, "knowledge/read.html", context)


@require_POST
def rate(request: HttpRequest, session: int, message: int) -> HttpResponse:
    """Stores whether an answer was helpful, and why."""
    conversation = conversation_of(request, session)
    rated = get_object_or_404(conversation.messages, pk=message, role="assistant")
    form = RatingForm(request.POST)
    if not form.is_valid():
        return render(request, "problem.html", {"problem": invalid(form)}, status=422)
    given = Feedback("pk", Value(form.cleaned_data["score"]), Value(form.cleaned_data["comment"]))
    Message.objects.filter(pk=rated.pk).values_list(given).get()
    return redirect(f"{reverse('conversation', args=[session])}#message-{message}")


@permission_required("ragstone.set_persona", raise_exception=True)
@require_http_methods(["GET", "POST"])
def personas(request: HttpRequest) -> HttpResponse:
    """Shows the personas, and creates another version of one, which sessions use from their next message on."""
    form = PersonaForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        version = Persona.objects.define(**form.cleaned_data)
        messages.success(request, f"{form.cleaned_data['name']} is kept as version {version}.")
        return redirect("personas")
    return render(request, "chat/personas.html", {"form": form, "personas": Persona.objects.current()})

"""Tasks of agents, as jobs, and tool calls that need a user's approval."""

from django.contrib.auth.decorators import permission_required
from django.db.models import Value
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.forms import DecisionForm, TaskForm
from agents.reports import tree
from ragstone import jobs
from ragstone.functions import Approve, Reject
from ragstone.models import Agent, Approval, Job, Run, Step
from ragstone.problems import PROBLEMS, UNFORESEEN, invalid
from ragstone.streams import stream

may_run = permission_required("ragstone.run_agent", raise_exception=True)
may_decide = permission_required("ragstone.decide", raise_exception=True)


@may_run
@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    """Shows the agents, the tool calls that wait for approval, and a form for a task."""
    form = TaskForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        task = form.cleaned_data
        key = f"task of {request.user.pk}: {task['key']}"
        job = jobs.submit("agent", key, agent=task["agent"].pk, input=task["task"])
        return redirect("task", job)
    context = {"form": form, "agents": Agent.objects.all(), "approvals": Approval.objects.all(), "tasks": latest()}
    return render(request, "agents/index.html", context)


def latest() -> list[tuple[Job, str]]:
    """Returns the latest tasks with the status of their runs: a job is also done if its run waits or has failed."""
    tasks = Job.objects.filter(kind="agent").order_by("-id")[:20]
    run_of = {task.pk: task.result["run_id"] for task in tasks if task.result}
    status_of = dict(Run.objects.filter(pk__in=run_of.values()).values_list("pk", "status"))
    return [(task, status_of.get(run_of.get(task.pk), task.status)) for task in tasks]


@may_run
@require_GET
def task(request: HttpRequest, job: int) -> HttpResponse:
    """Shows a task: the agent's output as it arrives, and its steps when it has ended."""
    task = get_object_or_404(Job, pk=job, kind="agent")
    context = {"task": task}
    if task.status in ("failed", "cancelled"):
        context["problem"] = PROBLEMS.get(task.sqlstate, UNFORESEEN)
    elif task.status == "done":
        context |= outcome(jobs.result(job))
    return render(request, "agents/task.html", context)


@may_run
@require_GET
def events(request: HttpRequest, job: int) -> HttpResponse:
    """Streams the agent's output, and at the end the HTML of the outcome."""
    get_object_or_404(Job, pk=job, kind="agent")
    return stream(request, job, lambda result: render_to_string("agents/outcome.html", outcome(result), request))


def outcome(result: dict) -> dict:
    run = result["run_id"]
    return {
        "result": result,
        "run": Run.objects.filter(pk=run).first(),
        "approvals": Approval.objects.filter(run=run),
        "tree": tree(Step.objects.filter(run=run)),
    }


@may_decide
@require_POST
def decide(request: HttpRequest, step: int) -> HttpResponse:
    """Approves or rejects a tool call; another job continues the run."""
    waiting = get_object_or_404(Approval, pk=step)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return render(request, "problem.html", {"problem": invalid(form)}, status=422)
    verb = Approve if form.cleaned_data["agreed"] else Reject
    by = f"{request.user.get_username()}: {form.cleaned_data['comment']}".removesuffix(": ")
    job = Approval.objects.filter(pk=waiting.pk).values_list(verb("pk", Value(by)), flat=True).get()
    return redirect("task", job) if job else redirect("agents")

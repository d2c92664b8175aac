"""The reports of examples/django: lists, a run with its tree of steps, and charts by day."""

from django.contrib import admin
from django.db.models import Count, Q, Sum

from agents.reports import charts, tree
from plain.models import Day, Run, Step


class ReadOnly(admin.ModelAdmin):
    show_full_result_count = False

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


@admin.register(Run)
class RunAdmin(ReadOnly):
    list_display = ("id", "agent", "status", "started", "steps", "errors", "tokens", "cost")
    list_filter = ("status", "agent", "started")
    sortable_by = ()
    change_form_template = "agents/run.html"

    def get_queryset(self, request):
        sums = {"input": Sum("log__input_tokens"), "output": Sum("log__output_tokens"), "total": Sum("log__cost")}
        errors = Count("log", filter=Q(log__status="error"))
        return super().get_queryset(request).annotate(steps=Count("log"), failures=errors, **sums)

    @admin.display
    def steps(self, run: Run) -> int:
        return run.steps

    @admin.display
    def errors(self, run: Run) -> int:
        return run.failures

    @admin.display
    def tokens(self, run: Run) -> str:
        return f"{run.input} + {run.output}"

    @admin.display
    def cost(self, run: Run) -> float | None:
        return run.total

    def change_view(self, request, object_id, form_url="", extra_context=None):
        more = {"tree": tree(Step.objects.filter(run=object_id)), "title": "Run"}
        return super().change_view(request, object_id, form_url, more | (extra_context or {}))


@admin.register(Day)
class DayAdmin(ReadOnly):
    list_display = (
        "day",
        "agent",
        "runs",
        "failed",
        "p50_ms",
        "p95_ms",
        "input_tokens",
        "output_tokens",
        "cost",
        "errors",
    )
    list_filter = ("agent", "day")
    change_list_template = "agents/days.html"

    def changelist_view(self, request, extra_context=None):
        page = super().changelist_view(request, {"title": "Reports by day"} | (extra_context or {}))
        page.context_data["charts"] = charts(page.context_data["cl"].queryset[:1000])
        return page

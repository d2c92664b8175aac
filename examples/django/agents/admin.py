"""Ragstone's data for administrators: runs and reports, collections, budgets."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.defaultfilters import filesizeformat
from django.urls import path
from django.views.decorators.http import require_POST

from agents.reports import charts, tree
from ragstone.admin import RefusableAdmin
from ragstone.functions import RetryFailed, Trace
from ragstone.models import Budget, Collection, Day, ErrorGroup, FailedRow, MessageFeedback, Run, Step

admin.site.site_header = admin.site.site_title = "Ragstone"
CHARTED_DAYS = 1000
NO_BREAK = "\N{NO-BREAK SPACE}"


class ReadOnly(admin.ModelAdmin):
    """A view of the database: users who may see it can read it, but not change it."""

    show_full_result_count = False

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


class Transactional(ReadOnly):
    """Shows as a word whether a row was rolled back, because the admin shows “no” as a red cross."""

    @admin.display(description="rolled back")
    def undone(self, row: Run | Step) -> str:
        return "yes" if row.rolled_back else "no"

    def get_fields(self, request, obj=None):
        return ["undone" if name == "rolled_back" else name for name in super().get_fields(request, obj)]


@admin.register(Run)
class RunAdmin(Transactional):
    list_display = ("id", "agent", "status", "started", "seconds", "steps", "errors", "tokens", "cost", "last_error")
    list_filter = ("status", "agent", "started", "rolled_back")
    search_fields = ("last_error",)
    # The view returns the latest runs first; in any other order it would have to sum up all runs before the
    # first.
    sortable_by = ()
    change_form_template = "agents/run.html"

    @admin.display(description="took")
    def seconds(self, run: Run) -> str:
        return "" if run.duration_ms is None else f"{run.duration_ms / 1000:.2f}{NO_BREAK}s"

    @admin.display
    def tokens(self, run: Run) -> str:
        return f"{run.input_tokens}{NO_BREAK}+{NO_BREAK}{run.output_tokens}"

    def change_view(self, request, object_id, form_url="", extra_context=None):
        more = {"title": "Run"}
        # The admin itself reports an address that names no run.
        if run := self.get_object(request, object_id):
            lines = Run.objects.filter(pk=run.pk).values_list(Trace("pk"), flat=True)
            more |= {"tree": tree(Step.objects.filter(run=run)), "trace": "\n".join(lines)}
        return super().change_view(request, object_id, form_url, more | (extra_context or {}))


@admin.register(Step)
class StepAdmin(Transactional):
    list_display = ("id", "run", "kind", "name", "model", "status", "started", "duration_ms", "cost", "error")
    list_filter = ("kind", "status", "agent", "model", "started")
    list_select_related = ("run",)
    search_fields = ("name", "error")
    ordering = ("-id",)


@admin.register(Day)
class DayAdmin(ReadOnly):
    list_display = ("day", "agent", "runs", "failed", "success", "p50_ms", "p95_ms", "input_tokens", "output_tokens")
    list_display += ("cost", "errors")
    list_filter = ("agent", "day")
    change_list_template = "agents/days.html"

    @admin.display
    def success(self, day: Day) -> str:
        return "" if day.success_rate is None else f"{day.success_rate:.0%}"

    def changelist_view(self, request, extra_context=None):
        page = super().changelist_view(request, {"title": "Reports by day"} | (extra_context or {}))
        # The response is a redirect if the address has an invalid filter.
        if listed := getattr(page, "context_data", {}).get("cl"):
            page.context_data["charts"] = charts(listed.queryset[:CHARTED_DAYS])
        return page


@admin.register(ErrorGroup)
class ErrorGroupAdmin(ReadOnly):
    list_display = ("error", "agent", "kind", "name", "sqlstate", "count", "first_seen", "last_seen", "run_id")
    list_filter = ("agent", "kind", "last_seen")
    ordering = ("-count",)


@admin.register(MessageFeedback)
class MessageFeedbackAdmin(ReadOnly):
    list_display = ("given_at", "score", "comment", "question", "answer", "persona")
    list_filter = ("score", "persona", "given_at")
    ordering = ("-given_at",)


@admin.register(Collection)
class CollectionAdmin(ReadOnly):
    list_display = ("collection", "state", "reason", "rows", "chunks", "queued", "failed", "rows_per_second", "size")
    change_form_template = "agents/collection.html"

    @admin.display(ordering="bytes")
    def size(self, collection: Collection) -> str:
        return "" if collection.bytes is None else filesizeformat(collection.bytes)

    def get_urls(self):
        retry = self.admin_site.admin_view(require_POST(self.retry))
        return [path("<path:name>/retry/", retry, name="ragstone_collection_retry"), *super().get_urls()]

    def change_view(self, request, object_id, form_url="", extra_context=None):
        more = {
            "failed_rows": FailedRow.objects.filter(collection=object_id),
            "may_retry": request.user.has_perm("ragstone.retry_collection"),
            "title": "Collection",
        }
        return super().change_view(request, object_id, form_url, more | (extra_context or {}))

    def retry(self, request: HttpRequest, name: str) -> HttpResponse:
        """Retries the rows of a collection that could not be indexed."""
        if not request.user.has_perm("ragstone.retry_collection"):
            raise PermissionDenied
        collection = get_object_or_404(Collection, pk=name)
        tried = Collection.objects.filter(pk=name).values_list(RetryFailed("collection"), flat=True).get()
        messages.success(request, f"{tried} failed rows of {collection} are tried again.")
        return redirect("admin:ragstone_collection_change", name)


@admin.register(Budget)
class BudgetAdmin(RefusableAdmin):
    list_display = ("__str__", "max_cost", "cost", "max_tokens", "tokens", "max_calls", "calls", "until")
    list_select_related = ("state",)
    list_filter = ("period",)

    @admin.display(description="cost so far")
    def cost(self, budget: Budget) -> float | None:
        return self.taken(budget, "cost")

    @admin.display(description="tokens so far")
    def tokens(self, budget: Budget) -> int | None:
        return self.taken(budget, "tokens")

    @admin.display(description="calls so far")
    def calls(self, budget: Budget) -> int | None:
        return self.taken(budget, "calls")

    @admin.display(description="anew at")
    def until(self, budget: Budget):
        return self.taken(budget, "period_end")

    def taken(self, budget: Budget, name: str):
        """Returns a value of the budget's state, or None if the database's role may not see it."""
        return getattr(getattr(budget, "state", None), name, None)

"""Views of schema rag, and rows of its table functions, as unmanaged Django models."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import connections, models
from django.db.models.query import RawQuerySet

from ragstone.searches import Filter, as_json

# Markers around the query's words in a passage; these characters do not occur in text that users read.
MARK_BEGIN, MARK_END = "\x02", "\x03"

SEARCH = """
SELECT s.*, ts_headline(%(language)s::regconfig, s.content, words.query, %(options)s) AS marked
FROM rag.search(%(collection)s, %(query)s, k => %(k)s, mode => %(mode)s, filter => %(filter)s::jsonb,
                page_offset => %(page_offset)s, min_similarity => %(min_similarity)s,
                per_source => %(per_source)s) AS s,
     (SELECT replace(plainto_tsquery(%(language)s::regconfig, %(query)s)::text, ' & ', ' | ')::tsquery AS query) AS words
ORDER BY s.rank
"""
HEADLINE = f"StartSel={MARK_BEGIN}, StopSel={MARK_END}, HighlightAll=true"


class PassageManager(models.Manager):
    def search(
        self,
        collection: str,
        query: str,
        k: int = 10,
        mode: str = "hybrid",
        filter: Filter | None = None,
        language: str = "english",
        page_offset: int = 0,
        min_similarity: float | None = None,
        per_source: bool = False,
    ) -> RawQuerySet:
        """Returns the results of rag.search, the best first; `marked` is the passage with the query's words marked."""
        names = {"collection": collection, "query": query, "k": k, "mode": mode, "filter": as_json(filter)}
        names |= {"language": language, "page_offset": page_offset, "min_similarity": min_similarity}
        names |= {"per_source": per_source}
        return self.raw(SEARCH, names | {"options": HEADLINE})


class Passage(models.Model):
    """A row of rag.search. It has no table; only `Passage.objects.search` returns instances."""

    chunk_id = models.BigIntegerField(primary_key=True)
    rank = models.IntegerField()
    score = models.FloatField()
    source_key = models.JSONField()
    title = models.TextField(null=True)
    heading = models.TextField(null=True)
    content = models.TextField()
    metadata = models.JSONField()
    vector_rank = models.IntegerField(null=True)
    text_rank = models.IntegerField(null=True)
    similarity = models.FloatField(null=True)
    seq = models.IntegerField()
    start_at = models.IntegerField()
    end_at = models.IntegerField()
    marked: str

    objects = PassageManager()

    class Meta:
        managed = False
        db_table = '"rag"."search"'
        default_permissions = ()

    @property
    def key(self) -> str:
        """The source's key, for sources with a key of one column."""
        return str(next(iter(self.source_key.values())))


class SessionManager(models.Manager["Session"]):
    def begin(
        self,
        title: str | None = None,
        collection: str | None = None,
        persona: str | None = None,
        model: str | None = None,
    ) -> int:
        """Begins a conversation, and returns its number: rag.create_session."""
        with connections[self.db].cursor() as cursor:
            cursor.execute("SELECT rag.create_session(%s, %s, %s, %s)", [title, collection, persona, model])
            return cursor.fetchone()[0]


class Session(models.Model):
    """A conversation of rag.chat, created by `Session.objects.begin`."""

    id = models.BigIntegerField(primary_key=True)
    owner = models.CharField(max_length=63)
    title = models.TextField(null=True)
    collection = models.TextField(null=True)
    persona = models.TextField(null=True)
    model = models.TextField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = SessionManager()

    class Meta:
        managed = False
        db_table = '"rag"."sessions"'
        default_permissions = ("view",)


class Message(models.Model):
    """A question or an answer of a conversation."""

    id = models.BigIntegerField(primary_key=True)
    session = models.ForeignKey(
        Session, models.DO_NOTHING, db_column="session", db_constraint=False, related_name="messages"
    )
    role = models.CharField(max_length=9, choices=[("user", "user"), ("assistant", "assistant")])
    content = models.TextField()
    question = models.TextField(null=True)
    citations = models.JSONField(null=True)
    answered = models.BooleanField(null=True)
    persona = models.TextField(null=True)
    model = models.TextField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"rag"."messages"'
        default_permissions = ("view",)
        ordering = ("id",)


class MessageFeedback(models.Model):
    """A reader's rating of an answer, stored by rag.feedback."""

    message = models.OneToOneField(
        Message,
        models.DO_NOTHING,
        primary_key=True,
        db_column="message",
        db_constraint=False,
        related_name="feedback",
    )
    score = models.IntegerField(choices=[(1, "helpful"), (-1, "not helpful")])
    comment = models.TextField(null=True)
    given_at = models.DateTimeField()
    persona = models.TextField(null=True)
    question = models.TextField(null=True)
    answer = models.TextField()

    class Meta:
        managed = False
        db_table = '"rag"."message_feedback"'
        default_permissions = ("view",)
        verbose_name_plural = "message feedback"


class PersonaManager(models.Manager["Persona"]):
    def current(self) -> models.QuerySet["Persona"]:
        """Returns the latest version of each persona."""
        return self.order_by("name", "-version").distinct("name")

    def define(self, name: str, instructions: str, style: str | None = None) -> int:
        """Creates a persona or its next version, and returns the version's number: rag.set_persona."""
        with connections[self.db].cursor() as cursor:
            cursor.execute("SELECT rag.set_persona(%s, %s, style => %s)", [name, instructions, style])
            return cursor.fetchone()[0]


class Persona(models.Model):
    """Instructions for a model, in versions."""

    pk = models.CompositePrimaryKey("name", "version")
    name = models.TextField()
    version = models.IntegerField()
    owner = models.CharField(max_length=63)
    instructions = models.TextField()
    style = models.TextField(null=True)
    model = models.TextField(null=True)

    objects = PersonaManager()

    class Meta:
        managed = False
        db_table = '"rag"."personas"'
        default_permissions = ("view",)
        permissions = (("set_persona", "Can make personas and their further versions"),)


class Job(models.Model):
    """A call in a background worker, submitted by rag.submit."""

    id = models.BigIntegerField(primary_key=True)
    kind = models.TextField()
    args = models.JSONField()
    submitter = models.CharField(max_length=63)
    status = models.TextField()
    submitted_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True)
    sqlstate = models.TextField(null=True)
    message = models.TextField(null=True)
    detail = models.TextField(null=True)
    hint = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = '"rag"."jobs"'
        default_permissions = ("view",)


class Collection(models.Model):
    """A collection, and how far it is behind its source."""

    collection = models.TextField(primary_key=True)
    sync = models.TextField(null=True)
    state = models.TextField()
    reason = models.TextField(null=True)
    since = models.DateTimeField(null=True)
    next_try = models.DateTimeField(null=True)
    rows = models.BigIntegerField()
    chunks = models.BigIntegerField()
    queued = models.BigIntegerField()
    failed = models.BigIntegerField()
    oldest_queued_age = models.DurationField(null=True)
    rows_done = models.BigIntegerField()
    rows_left = models.BigIntegerField()
    rows_per_second = models.FloatField(null=True)
    time_to_drain = models.DurationField(null=True)
    bytes = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = '"rag"."stat_collection"'
        default_permissions = ("view",)
        permissions = (("retry_collection", "Can have failed rows tried again"),)

    def __str__(self) -> str:
        return self.collection


class FailedRow(models.Model):
    """A row that could not be indexed, with its error."""

    pk = models.CompositePrimaryKey("collection", "key")
    collection = models.ForeignKey(
        Collection, models.DO_NOTHING, db_column="collection", db_constraint=False, related_name="failed_rows"
    )
    key = ArrayField(models.TextField())
    attempts = models.IntegerField()
    sqlstate = models.TextField()
    message = models.TextField()
    detail = models.TextField(null=True)
    failed_at = models.DateTimeField()
    retry_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = '"rag"."failed"'
        default_permissions = ("view",)


class Run(models.Model):
    """An agent's task with the totals of its steps, from rag.run_summary, which is always current."""

    id = models.BigIntegerField(primary_key=True)
    agent = models.TextField()
    owner = models.CharField(max_length=63)
    status = models.TextField(choices=[(s, s) for s in ("running", "waiting", "done", "failed", "cancelled")])
    started = models.DateTimeField()
    finished = models.DateTimeField(null=True)
    duration_ms = models.FloatField(null=True)
    steps = models.BigIntegerField()
    model_calls = models.BigIntegerField()
    tool_calls = models.BigIntegerField()
    errors = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cost = models.FloatField()
    last_error = models.TextField(null=True)
    rolled_back = models.BooleanField()
    session = models.BigIntegerField(null=True)
    job = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = '"rag"."run_summary"'
        default_permissions = ("view",)
        permissions = (("run_agent", "Can have agents run"), ("decide", "Can agree to calls of tools"))
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.agent} {self.pk}"


class Step(models.Model):
    """A step of a run."""

    KINDS = ("message", "model", "tool", "retrieval", "error", "custom")
    STATUSES = ("ok", "error", "running", "waiting", "approved", "rejected", "cancelled")

    id = models.BigIntegerField(primary_key=True)
    # The reverse name is not `steps`, which is the run's own number of steps.
    run = models.ForeignKey(Run, models.DO_NOTHING, db_column="run_id", db_constraint=False, related_name="log")
    number = models.IntegerField()
    parent_id = models.BigIntegerField(null=True)
    owner = models.CharField(max_length=63)
    agent = models.TextField()
    kind = models.TextField(choices=[(kind, kind) for kind in KINDS])
    name = models.TextField(null=True)
    input = models.JSONField(null=True)
    output = models.JSONField(null=True)
    model = models.TextField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    cost = models.FloatField(null=True)
    started = models.DateTimeField()
    duration_ms = models.FloatField(null=True)
    status = models.TextField(choices=[(status, status) for status in STATUSES])
    error = models.TextField(null=True)
    sqlstate = models.TextField(null=True)
    rolled_back = models.BooleanField()
    attributes = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = '"rag"."steps"'
        default_permissions = ("view",)
        ordering = ("started", "number", "id")

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.model or ''}".strip()


class Agent(models.Model):
    """A language model that may call tools, created by rag.create_agent."""

    name = models.TextField(primary_key=True)
    owner = models.CharField(max_length=63)
    instructions = models.TextField()
    model = models.TextField(null=True)
    tools = ArrayField(models.TextField())
    max_steps = models.IntegerField()

    class Meta:
        managed = False
        db_table = '"rag"."agents"'
        default_permissions = ("view",)
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Approval(models.Model):
    """A tool call that waits for approval."""

    step = models.OneToOneField(
        Step, models.DO_NOTHING, primary_key=True, db_column="step", db_constraint=False, related_name="approval"
    )
    run = models.ForeignKey(Run, models.DO_NOTHING, db_column="run_id", db_constraint=False, related_name="approvals")
    agent = models.TextField()
    owner = models.CharField(max_length=63)
    tool = models.TextField()
    arguments = models.TextField()
    since = models.DateTimeField()

    class Meta:
        managed = False
        db_table = '"rag"."approvals"'
        default_permissions = ("view",)
        ordering = ("since",)


class Day(models.Model):
    """An agent's activity on a day: rag.agent_daily."""

    id = models.BigIntegerField(primary_key=True)
    day = models.DateField()
    agent = models.TextField()
    owner = models.CharField(max_length=63)
    runs = models.BigIntegerField()
    done = models.BigIntegerField()
    failed = models.BigIntegerField()
    cancelled = models.BigIntegerField()
    success_rate = models.FloatField(null=True)
    p50_ms = models.FloatField(null=True)
    p95_ms = models.FloatField(null=True)
    steps = models.BigIntegerField()
    model_calls = models.BigIntegerField()
    tool_calls = models.BigIntegerField()
    errors = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cost = models.FloatField()

    class Meta:
        managed = False
        db_table = '"rag"."agent_daily"'
        default_permissions = ("view",)
        ordering = ("-day", "agent")

    def __str__(self) -> str:
        return f"{self.agent}, {self.day}"


class ErrorGroup(models.Model):
    """Errors with a common part of their texts: rag.error_groups."""

    id = models.BigIntegerField(primary_key=True)
    agent = models.TextField()
    kind = models.TextField()
    name = models.TextField(null=True)
    sqlstate = models.TextField(null=True)
    error = models.TextField()
    count = models.BigIntegerField()
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    example = models.TextField()
    run_id = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = '"rag"."error_groups"'
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.error


class Budget(models.Model):
    """Limits on calls to providers: a row of rag.budgets, which superusers of the database may change."""

    PERIODS = ("hour", "day", "month")
    NOT_NEGATIVE = (MinValueValidator(0),)

    id = models.BigAutoField(primary_key=True)
    role = models.CharField(max_length=63, null=True, blank=True, help_text="Of all roles together where it is empty.")
    server = models.CharField(max_length=63, null=True, blank=True, help_text="Of all where it is empty.")
    period = models.TextField(choices=[(period, period) for period in PERIODS])
    max_cost = models.FloatField(null=True, blank=True, validators=NOT_NEGATIVE)
    max_tokens = models.BigIntegerField(null=True, blank=True, validators=NOT_NEGATIVE)
    max_calls = models.BigIntegerField(null=True, blank=True, validators=NOT_NEGATIVE)

    class Meta:
        managed = False
        db_table = '"rag"."budgets"'
        # The table has the same constraints, and requires that limits are not negative; here they give the
        # form its messages.
        constraints = (
            models.CheckConstraint(
                condition=~models.Q(max_cost=None, max_tokens=None, max_calls=None),
                name="budgets_limit_something",
                violation_error_message="State at least one limit.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.role or 'all roles'}, {self.server or 'all providers'}, each {self.period}"


class BudgetState(models.Model):
    """The amounts spent in a budget's current period: rag.budget_state."""

    budget = models.OneToOneField(
        Budget, models.DO_NOTHING, primary_key=True, db_column="id", db_constraint=False, related_name="state"
    )
    period_end = models.DateTimeField()
    cost = models.FloatField()
    tokens = models.BigIntegerField()
    calls = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = '"rag"."budget_state"'
        default_permissions = ()

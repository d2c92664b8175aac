"""Tables for the data that Ragstone would store itself."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from pgvector.django import HnswIndex, VectorField

from plain.embedding import DIMENSIONS


class Chunk(models.Model):
    """A passage with its embedding and its words."""

    chunk_id = models.BigAutoField(primary_key=True)
    key = models.BigIntegerField()
    title = models.TextField(null=True)
    heading = models.TextField(null=True)
    content = models.TextField()
    metadata = models.JSONField()
    embedding = VectorField(dimensions=DIMENSIONS)
    words = models.GeneratedField(
        expression=SearchVector("content", config="english"), output_field=SearchVectorField(), db_persist=True
    )

    class Meta:
        abstract = True
        indexes = (
            HnswIndex(fields=["embedding"], opclasses=["vector_cosine_ops"], name="%(class)s_embedding"),
            GinIndex(fields=["words"], name="%(class)s_words"),
        )


class PageChunk(Chunk):
    FACETS = ("url",)


class DocumentChunk(Chunk):
    FACETS = ("kind", "uploaded_by")


CHUNKS: dict[str, type[Chunk]] = {"manual": PageChunk, "documents": DocumentChunk}


class Conversation(models.Model):
    """A browser's conversation. The example's templates access its title and collection through its session."""

    visitor = models.CharField(max_length=32)
    key = models.CharField(max_length=64)
    title = models.TextField()
    collection = models.TextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint("visitor", "key", name="one_conversation_of_a_form"),)

    @property
    def session(self) -> "Conversation":
        return self


class Message(models.Model):
    session = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    role = models.CharField(max_length=9)
    content = models.TextField()
    citations = models.JSONField(null=True)
    persona = models.TextField(null=True)
    model = models.TextField(null=True)

    class Meta:
        ordering = ("id",)


class Run(models.Model):
    agent = models.TextField()
    status = models.TextField()
    started = models.DateTimeField(db_index=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.agent} {self.pk}"


class Step(models.Model):
    run = models.ForeignKey(Run, models.CASCADE, related_name="log")
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    kind = models.TextField()
    name = models.TextField(null=True)
    input = models.JSONField(null=True)
    output = models.JSONField(null=True)
    model = models.TextField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    cost = models.FloatField(null=True)
    started = models.DateTimeField()
    duration_ms = models.FloatField(null=True)
    status = models.TextField()
    error = models.TextField(null=True)

    class Meta:
        ordering = ("started", "id")


class Day(models.Model):
    """An agent's activity on a day: the view of days.sql."""

    id = models.BigIntegerField(primary_key=True)
    day = models.DateField()
    agent = models.TextField()
    runs = models.BigIntegerField()
    done = models.BigIntegerField()
    failed = models.BigIntegerField()
    cancelled = models.BigIntegerField()
    p50_ms = models.FloatField(null=True)
    p95_ms = models.FloatField(null=True)
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cost = models.FloatField()
    errors = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "plain_day"
        ordering = ("-day", "agent")

"""Texts that can be searched: the manual's pages, and documents that visitors upload."""

from django.apps import apps
from django.conf import settings
from django.db import models
from django.urls import reverse


class Page(models.Model):
    """A page of the PostgreSQL manual, in the table of examples/pages.sql, which this application only reads."""

    id = models.IntegerField(primary_key=True)
    title = models.TextField()
    url = models.TextField(unique=True)
    body = models.TextField()

    class Meta:
        managed = False
        db_table = "pages"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.title


class Document(models.Model):
    """An uploaded text. The collection `documents` follows this table, so the application does nothing when a row changes."""

    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=8, choices=[("text", "Text"), ("markdown", "Markdown"), ("html", "HTML")])
    body = models.TextField(help_text="Markdown, or plain text")
    uploaded_by = models.CharField(max_length=150)
    uploaded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-uploaded_at",)

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("read", args=["documents", self.pk])


def source_of(collection: str) -> type[models.Model]:
    """Returns the model for the rows of a collection. Raises KeyError if the application has no model for it."""
    return apps.get_model(settings.RAGSTONE_SOURCES[collection])

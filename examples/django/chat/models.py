"""Whose browser a conversation of rag.sessions belongs to: for Ragstone all are the application's own."""

from typing import Self

from django.conf import settings
from django.db import connection, models, transaction

from ragstone import jobs
from ragstone.models import Job, Message, Session


class ConversationManager(models.Manager["Conversation"]):
    @transaction.atomic
    def begin(self, visitor: str, collection: str, question: str, persona: str | None, key: str) -> "Conversation":
        """Makes a session and asks its first question; both are there when this has committed."""
        with connection.cursor() as cursor:
            title = question[:80]
            cursor.execute(
                "SELECT rag.create_session(%s, collection => %s, model => %s)",
                [title, collection, settings.RAGSTONE_MODEL],
            )
            conversation = self.create(session_id=cursor.fetchone()[0], visitor=visitor)
        conversation.say(question, persona, key)
        return conversation


class Conversation(models.Model):
    """A session, whose visitor sees it, and the job of its latest question."""

    session = models.OneToOneField(Session, models.DO_NOTHING, primary_key=True, db_constraint=False)
    visitor = models.CharField(max_length=32, db_index=True)
    job = models.BigIntegerField(null=True)
    begun_at = models.DateTimeField(auto_now_add=True)

    objects = ConversationManager()

    class Meta:
        ordering = ("-begun_at",)

    def say(self, message: str, persona: str | None, key: str) -> Self:
        """Has the message answered by a job. The same key again, of a form that was sent twice, is the same job."""
        said = {"session": self.session_id, "message": message}
        if persona:
            said["persona"] = persona
        self.job = jobs.submit("chat", key, **said)
        self.save(update_fields=["job"])
        return self

    @property
    def messages(self) -> models.QuerySet[Message]:
        return Message.objects.filter(session=self.session_id).select_related("feedback")

    @property
    def latest_job(self) -> Job | None:
        """The job of the latest question, as long as rag.jobs keeps it."""
        return Job.objects.filter(pk=self.job).first()

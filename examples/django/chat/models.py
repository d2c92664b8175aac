"""Whose browser a conversation of rag.sessions belongs to: for Ragstone all are the application's own."""

from typing import Self

from django.conf import settings
from django.db import IntegrityError, connection, models, transaction

from ragstone import jobs
from ragstone.models import Job, Message, Session


class ConversationManager(models.Manager["Conversation"]):
    def begin(self, visitor: str, collection: str, question: str, persona: str | None, key: str) -> "Conversation":
        """Makes a session and asks its first question. A form that was sent twice has made one conversation."""
        try:
            # Nothing waits in it: the job begins when it commits.
            with transaction.atomic():
                session = create_session(question[:80], collection)
                conversation = self.create(session_id=session, visitor=visitor, key=key)
                return conversation.say(question, persona, key)
        except IntegrityError:
            return self.get(visitor=visitor, key=key)


def create_session(title: str, collection: str) -> int:
    with connection.cursor() as cursor:
        values = {"title": title, "collection": collection, "model": settings.RAGSTONE_MODEL}
        cursor.execute("SELECT rag.create_session(%(title)s, collection => %(collection)s, model => %(model)s)", values)
        return cursor.fetchone()[0]


def set_persona(name: str, instructions: str, style: str | None) -> int:
    """Makes a persona, or its next version, and gives the number of that."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rag.set_persona(%s, %s, style => %s)", [name, instructions, style])
        return cursor.fetchone()[0]


class Conversation(models.Model):
    """A session, whose visitor sees it, and the job of its latest question."""

    session = models.OneToOneField(Session, models.DO_NOTHING, primary_key=True, db_constraint=False)
    visitor = models.CharField(max_length=32)
    key = models.CharField(max_length=64)
    job = models.BigIntegerField(null=True)
    begun_at = models.DateTimeField(auto_now_add=True)

    objects = ConversationManager()

    class Meta:
        ordering = ("-begun_at",)
        constraints = (models.UniqueConstraint("visitor", "key", name="one_conversation_of_a_form"),)

    def say(self, message: str, persona: str | None, key: str) -> Self:
        """Has the message answered by a job. The same key again, of a form that was sent twice, is the same job."""
        said = {"session": self.session_id, "message": message}
        if persona:
            said["persona"] = persona
        self.job = jobs.submit("chat", f"conversation {self.session_id}: {key}", **said)
        self.save(update_fields=["job"])
        return self

    @property
    def messages(self) -> models.QuerySet[Message]:
        return Message.objects.filter(session=self.session_id).select_related("feedback")

    @property
    def latest_job(self) -> Job | None:
        """The job of the latest question, as long as rag.jobs keeps it."""
        return Job.objects.filter(pk=self.job).first()

"""The browsers that conversations of rag.sessions belong to: for Ragstone, all sessions belong to the application."""

from typing import Self

from django.conf import settings
from django.db import IntegrityError, models, transaction

from ragstone import jobs
from ragstone.models import Job, Message, Session


class ConversationManager(models.Manager["Conversation"]):
    def begin(self, visitor: str, collection: str, question: str, persona: str | None, key: str) -> "Conversation":
        """Creates a session and asks its first question. Two submissions of the same form create one conversation."""
        try:
            # The transaction does not wait for the answer: the job starts after its commit.
            with transaction.atomic():
                session = Session.objects.begin(question[:80], collection, model=settings.RAGSTONE_MODEL)
                conversation = self.create(session_id=session, visitor=visitor, key=key)
                return conversation.say(question, persona, key)
        except IntegrityError:
            return self.get(visitor=visitor, key=key)


class Conversation(models.Model):
    """A session with its visitor and the job of its latest question."""

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
        """Submits the message as a job. The same key, of a form that was submitted twice, returns the same job."""
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
        """The job of the latest question, while rag.jobs keeps it."""
        return Job.objects.filter(pk=self.job).first()

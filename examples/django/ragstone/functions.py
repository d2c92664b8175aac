"""Functions of schema rag as expressions for annotate(), filter() and values_list()."""

from django.db.models import BigIntegerField, Func, TextField


class RetryFailed(Func):
    """Retries all rows of a collection that could not be indexed; returns their number."""

    function = "rag.retry_failed"
    output_field = BigIntegerField()


class Feedback(Func):
    """Stores a reader's rating of an answer: message, score (-1 or 1), comment."""

    function = "rag.feedback"
    output_field = TextField()


class Trace(Func):
    """Returns a run as a tree, one row per line."""

    function = "rag.trace"
    output_field = TextField()
    set_returning = True


class Approve(Func):
    """Approves a tool call: step, comment. Returns the job that continues the run, or NULL while other calls wait."""

    function = "rag.approve"
    output_field = BigIntegerField(null=True)


class Reject(Func):
    """Rejects a tool call, and the run continues without it: step, reason. Returns the job, as Approve does."""

    function = "rag.reject"
    output_field = BigIntegerField(null=True)

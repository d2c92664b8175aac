"""Functions of schema rag as expressions, for annotate(), filter() and values_list()."""

from django.db.models import BigIntegerField, Func, TextField


class RetryFailed(Func):
    """Tries all rows of a collection again that could not be indexed; how many these are."""

    function = "rag.retry_failed"
    output_field = BigIntegerField()


class Feedback(Func):
    """Keeps what a reader thinks of an answer: message, score (-1 or 1), comment."""

    function = "rag.feedback"
    output_field = TextField()


class Trace(Func):
    """A run as a tree, a row for each line."""

    function = "rag.trace"
    output_field = TextField()
    set_returning = True


class Approve(Func):
    """Lets a tool's call be made that waits for it: step, comment. The job that goes on, or NULL while others wait."""

    function = "rag.approve"
    output_field = BigIntegerField(null=True)


class Reject(Func):
    """Has a run go on without the call: step, reason. The job, as with Approve."""

    function = "rag.reject"
    output_field = BigIntegerField(null=True)

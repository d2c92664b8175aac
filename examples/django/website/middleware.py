"""Errors of the database as pages that a person understands, and what browsers may do with pages."""

from django.db import DatabaseError, connection
from django.http import HttpResponse
from django.template.loader import render_to_string

from ragstone.problems import UNREACHABLE, UNSTORABLE, explain

# Texts of models and of visitors are escaped; should that ever fail, no script of theirs runs and nothing is sent elsewhere.
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'"
)


def content_security_policy(get_response):
    def respond(request):
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return respond


class ProblemMiddleware:
    """Shows what the database refused, with a fitting status; anything unforeseen stays a 500."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if isinstance(exception, DatabaseError) and (problem := explain(exception)):
            if problem is UNREACHABLE:
                # A pool whose connections are dead waits longer and longer before it makes others. The next request has
                # a new one, and is served as soon as the database is there.
                connection.close_pool()
            # The page's head shows the user, who cannot be known where the database is away, or where it was the session's
            # own number that had a character which no text can have.
            alone = problem in (UNREACHABLE, UNSTORABLE)
            html = render_to_string("problem.html", {"problem": problem}, None if alone else request)
            return HttpResponse(html, status=problem.status)

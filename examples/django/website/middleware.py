"""Shows database errors as readable pages, and restricts what browsers may do with pages."""

from django.db import DatabaseError, connection
from django.http import HttpResponse
from django.template.loader import render_to_string

from ragstone.problems import UNREACHABLE, UNSTORABLE, explain

# Texts of models and of visitors are escaped; if that ever failed, no script in them would run, and nothing
# would be sent to other hosts.
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
    """Shows database errors with a suitable status; any unexpected error stays a 500."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if isinstance(exception, DatabaseError) and (problem := explain(exception)):
            if problem is UNREACHABLE:
                # A pool with dead connections waits longer and longer before it opens new ones. The next
                # request gets a new pool, and is served as soon as the database is available.
                connection.close_pool()
            # The page's head shows the user, who cannot be read if the database is unavailable, or if the
            # session's own key contained a character that no `text` value can contain.
            alone = problem in (UNREACHABLE, UNSTORABLE)
            html = render_to_string("problem.html", {"problem": problem}, None if alone else request)
            return HttpResponse(html, status=problem.status)

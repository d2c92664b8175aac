"""Errors of the database as pages that a person understands."""

from django.db import DatabaseError
from django.shortcuts import render

from ragstone.problems import explain


class ProblemMiddleware:
    """Shows what the database refused, with a fitting status; anything unforeseen stays a 500."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_exception(self, request, exception):
        if isinstance(exception, DatabaseError) and (problem := explain(exception)):
            return render(request, "problem.html", {"problem": problem}, status=problem.status)

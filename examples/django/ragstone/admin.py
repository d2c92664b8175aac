"""Shows errors of the database as errors of forms in the admin."""

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import DatabaseError
from django.http import HttpRequest
from django.shortcuts import redirect

from ragstone.problems import refusal


class RefusableForm(forms.ModelForm):
    """A form that is invalid if the database refused its values."""

    refused: str | None = None

    def clean(self):
        cleaned = super().clean()
        if self.refused:
            raise ValidationError(self.refused)
        return cleaned


class RefusableAdmin(admin.ModelAdmin):
    """Shows in the form why the database does not save it, and above the page why it does not delete an object."""

    form = RefusableForm

    def get_form(self, request, obj=None, change=False, **kwargs):
        # The class is created for this request.
        form = super().get_form(request, obj, change=change, **kwargs)
        form.refused = getattr(request, "refused", None)
        return form

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except DatabaseError as error:
            request.refused = refused(request, error)
        # The request's transaction is rolled back. Running the request again only shows the form, which is
        # now invalid.
        return super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(self, request, object_id, extra_context=None):
        try:
            return super().delete_view(request, object_id, extra_context)
        except DatabaseError as error:
            messages.error(request, refused(request, error))
        return redirect(request.get_full_path())

    def changelist_view(self, request, extra_context=None):
        try:
            return super().changelist_view(request, extra_context)
        except DatabaseError as error:
            messages.error(request, refused(request, error))
        return redirect(request.get_full_path())


def refused(request: HttpRequest, error: DatabaseError) -> str:
    """Returns why the database refuses the values of a form. Raises any other error again."""
    said = refusal(error) if request.method == "POST" else None
    if said is None:
        raise error
    return said

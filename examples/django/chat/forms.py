import uuid

from django import forms
from django.conf import settings

from ragstone.models import Persona


def new_key() -> str:
    return uuid.uuid4().hex


def personas() -> list[tuple[str, str]]:
    return [(name, name) for name in Persona.objects.current().values_list("name", flat=True)]


def collections() -> list[tuple[str, str]]:
    return [(name, name) for name in settings.RAGSTONE_SOURCES]


class QuestionForm(forms.Form):
    """A message, the persona that answers it, and a key that makes two submissions of the same form one question."""

    message = forms.CharField(
        label="Your question", max_length=4000, widget=forms.Textarea(attrs={"rows": 3, "autofocus": True})
    )
    persona = forms.ChoiceField(label="Answered by", choices=personas)
    collection = forms.ChoiceField(label="From", choices=collections)
    key = forms.CharField(widget=forms.HiddenInput, initial=new_key, max_length=64)


class RatingForm(forms.Form):
    score = forms.TypedChoiceField(
        coerce=int,
        choices=[(1, "helpful"), (-1, "not helpful")],
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Choose one of both thumbs."),
    )
    comment = forms.CharField(max_length=2000, required=False, empty_value=None)


class PersonaForm(forms.Form):
    """The arguments of rag.set_persona; an existing name gets another version."""

    name = forms.CharField(label="Name", max_length=63)
    instructions = forms.CharField(label="Instructions", max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))
    style = forms.CharField(label="Style", max_length=500, required=False, empty_value=None)

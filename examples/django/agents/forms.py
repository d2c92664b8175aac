from django import forms

from chat.forms import new_key
from ragstone.models import Agent


class TaskForm(forms.Form):
    """A task for an agent, with a key that makes two submissions of the same form one task."""

    agent = forms.ModelChoiceField(Agent.objects.all(), label="Agent", empty_label=None)
    task = forms.CharField(label="Task", max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))
    key = forms.CharField(widget=forms.HiddenInput, initial=new_key, max_length=64)


class DecisionForm(forms.Form):
    agreed = forms.TypedChoiceField(
        coerce=lambda value: value == "yes",
        choices=[("yes", "yes"), ("no", "no")],
        error_messages=dict.fromkeys(("required", "invalid_choice"), "Agree or refuse."),
    )
    comment = forms.CharField(max_length=2000, required=False, empty_value="")

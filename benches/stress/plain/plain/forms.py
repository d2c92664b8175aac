from django import forms

from chat.forms import QuestionForm as Question


class QuestionForm(Question):
    persona = forms.ChoiceField(choices=[(name, name) for name in ("Librarian", "Teacher", "Administrator")])

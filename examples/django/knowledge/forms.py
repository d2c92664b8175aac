from django import forms

from knowledge import uploads
from knowledge.models import Document


class SearchForm(forms.Form):
    """A search query; without one, the page asks for it."""

    q = forms.CharField(required=False)


class UploadForm(forms.Form):
    """A file that becomes a document."""

    file = forms.FileField(
        label="File",
        help_text="Text, Markdown or HTML in UTF-8, at most 5 MB.",
        widget=forms.ClearableFileInput(attrs={"accept": ",".join(uploads.KINDS)}),
        error_messages={"empty": "The file has no text."},
    )
    title = forms.CharField(
        label="Title", max_length=200, required=False, help_text="Without it, that of the page or the file's name."
    )

    def clean(self):
        cleaned = super().clean()
        if file := cleaned.get("file"):
            try:
                # One byte more than the limit shows that the file is too long, without reading all of it.
                self.read = uploads.read(file.name, file.read(uploads.MAX_BYTES + 1))
            except forms.ValidationError as error:
                self.add_error("file", error)
        return cleaned

    def save(self, uploaded_by: str) -> Document:
        kind, title, body = self.read
        title = self.cleaned_data["title"] or title
        return Document.objects.create(title=title, kind=kind, body=body, uploaded_by=uploaded_by)

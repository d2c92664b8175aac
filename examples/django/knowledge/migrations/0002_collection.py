from django.db import migrations

from ragstone.operations import CreateCollection


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0001_initial"), ("ragstone", "0001_extension")]
    operations = [
        CreateCollection(
            "documents",
            "Document",
            content="body",
            title="title",
            metadata=["kind", "uploaded_by"],
            options={"splitter": "markdown"},
        )
    ]

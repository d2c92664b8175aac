from django.db import migrations

from ragstone.operations import CreateCollection


class Migration(migrations.Migration):
    dependencies = [("shelf", "0001_initial"), ("ragstone", "0001_extension")]
    operations = [
        CreateCollection("books", "Book", content="text", title="title", metadata=("author", "price", "published")),
        CreateCollection("leaves", "shelf.leaf", content="text"),
    ]

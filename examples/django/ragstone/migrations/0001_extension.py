from django.db import migrations

from ragstone.operations import CreateExtension


class Migration(migrations.Migration):
    operations = [CreateExtension()]

from django.db import migrations


class Migration(migrations.Migration):
    operations = [
        # If an administrator has created the extension already, this needs no privileges. It is not dropped,
        # because other applications may have collections.
        migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS ragstone CASCADE", migrations.RunSQL.noop),
    ]

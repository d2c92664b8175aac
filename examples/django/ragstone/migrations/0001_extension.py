from django.db import migrations


class Migration(migrations.Migration):
    operations = [
        # Where an administrator has made it already, this needs no rights. It stays: its collections may be others'.
        migrations.RunSQL("CREATE EXTENSION IF NOT EXISTS ragstone CASCADE", migrations.RunSQL.noop),
    ]

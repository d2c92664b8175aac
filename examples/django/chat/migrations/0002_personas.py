from django.db import migrations

# Personas have versions; an existing persona is left as a user has defined it.
CREATE = """
SELECT rag.set_persona(name, instructions, style => style)
FROM (VALUES ('Librarian', 'You help readers to find what the texts say.', 'Short and exact.'),
             ('Teacher', 'You explain what the texts say to beginners.', 'Plain words, one example.'),
             ('Administrator', 'You tell experienced administrators what to do.', 'Numbered steps, commands first.')
     ) AS wanted (name, instructions, style)
WHERE NOT EXISTS (SELECT FROM rag.personas AS persona WHERE persona.name = wanted.name)
"""


class Migration(migrations.Migration):
    dependencies = [("chat", "0001_initial")]
    operations = [migrations.RunSQL(CREATE, migrations.RunSQL.noop)]

from django.db import migrations

CREATE = """
SELECT rag.create_collection('documents', source => 'knowledge_document', content => 'body', title => 'title',
                             metadata => '{kind,uploaded_by}', splitter => 'markdown')
"""


class Migration(migrations.Migration):
    dependencies = [("knowledge", "0001_initial"), ("ragstone", "0001_extension")]
    operations = [migrations.RunSQL(CREATE, "SELECT rag.drop_collection('documents')")]

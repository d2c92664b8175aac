import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "plain.settings")
application = get_wsgi_application()

# Each process loads its model before it answers anybody.
from plain.embedding import embed  # noqa: E402

embed(["ready"])

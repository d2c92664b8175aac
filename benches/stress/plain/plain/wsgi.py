import os

from django.core.wsgi import get_wsgi_application

from plain.embedding import embed

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "plain.settings")
application = get_wsgi_application()
# Each process loads its model before it serves requests.
embed(["ready"])

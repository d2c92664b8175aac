import os

from django.core.wsgi import get_wsgi_application

from plain.embedding import embed

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "plain.settings")
application = get_wsgi_application()
# Each process has its model before it answers anybody.
embed(["ready"])

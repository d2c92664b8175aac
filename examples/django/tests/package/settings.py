"""A project that uses django-ragstone as installed from its wheel: setup/djangocheck.sh runs its tests."""

import os

SECRET_KEY = "tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres", "ragstone", "shelf"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "postgres"),
        "TEST": {"NAME": f"package_{os.getpid()}"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
# Rows are searchable in the transaction that writes them, so that a TestCase finds its own.
RAGSTONE_SYNC = "immediate"

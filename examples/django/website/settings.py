"""Settings of the example. As for psql, libpq's variables (PGHOST, PGDATABASE, …) select the database."""

import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
# Signs browser sessions: a key that is generated at each start ends the sessions, and with them their
# conversations.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
# Behind TLS, cookies are sent over TLS only.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = os.environ.get("DJANGO_TLS") == "1"
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "127.0.0.1 localhost").split()

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "ragstone",
    "knowledge",
    "chat",
    "agents",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "website.middleware.content_security_policy",
    "website.middleware.ProblemMiddleware",
]
ROOT_URLCONF = "website.urls"
WSGI_APPLICATION = "website.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "website/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "demo"),
        "OPTIONS": {
            # A page does not wait a minute for an engine that is unavailable. Jobs use the settings of their
            # role.
            "options": "-c rag.request_timeout=10s",
            # A request, and a streamed answer for its whole duration, takes a connection of this process's
            # pool, and waits for one rather than being refused by the server. Keep this number below
            # max_connections divided by the number of processes.
            "pool": {"min_size": 1, "max_size": int(os.environ.get("DJANGO_POOL", "40")), "timeout": 10},
        },
        # After a restart of the server, the pool's connections are dead.
        "CONN_HEALTH_CHECKS": True,
        # Requests run in autocommit mode: a transaction around a view would stay open while the view waits
        # for a model.
        "ATOMIC_REQUESTS": False,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The model that answers in conversations: a model of rag.providers, or the extractive model, which needs no
# provider.
RAGSTONE_MODEL = os.environ.get("RAGSTONE_MODEL", "local/extractive")
# The minimum cosine of a query and a result: what is less similar has nothing to do with the query. Queries of one word
# are less similar to their results than whole questions are.
MIN_SIMILARITY = 0.15
# The Django model for the rows of each collection, for pages that show a whole text.
RAGSTONE_SOURCES = {"manual": "knowledge.Page", "documents": "knowledge.Document"}

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "website/static"]
STATIC_ROOT = os.environ.get("DJANGO_STATIC_ROOT")
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "documents"
LOGOUT_REDIRECT_URL = "search"

"""Settings of the plain-Python version: those of examples/django, which is in PYTHONPATH, but for what follows."""

import os
from pathlib import Path

import website.settings as example

globals().update({name: value for name, value in vars(example).items() if name.isupper()})

INSTALLED_APPS = [name for name in example.INSTALLED_APPS if name not in ("chat", "agents")] + ["plain"]
# Tables come from the models. Those of schema rag are not Django's, so none of them is made: the application
# `ragstone` is here for what the example's templates, and the model of an uploaded document, import of it.
MIGRATION_MODULES = {"ragstone": None, "knowledge": None}
ROOT_URLCONF = "plain.urls"
WSGI_APPLICATION = "plain.wsgi.application"
TEMPLATES = [
    example.TEMPLATES[0]
    | {
        "DIRS": [example.BASE_DIR / f"{app}/templates" for app in ("website", "chat", "agents")],
        "OPTIONS": example.TEMPLATES[0]["OPTIONS"]
        | {"libraries": {"answers": "chat.templatetags.answers", "steps": "agents.templatetags.steps"}},
    }
]
# pgvector's own limit is 40, and the search wants more candidates.
OPTIONS = example.DATABASES["default"]["OPTIONS"] | {"options": "-c hnsw.ef_search=100"}
DATABASES = {"default": example.DATABASES["default"] | {"OPTIONS": OPTIONS}}

MODEL_FOLDER = Path(os.environ["STRESS_MODEL"])
# Threads of one run of the model; each process has its own model.
MODEL_THREADS = int(os.environ.get("STRESS_MODEL_THREADS", "1"))

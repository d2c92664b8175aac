"""Settings of the plain-Python version: those of examples/django, which is in PYTHONPATH, with the changes below."""

import os
from pathlib import Path

import website.settings as example

globals().update({name: value for name, value in vars(example).items() if name.isupper()})

INSTALLED_APPS = [name for name in example.INSTALLED_APPS if name not in ("chat", "agents")] + ["plain"]
# Tables are created from the models. Tables of schema rag are not Django's, so none of them is created: the
# application `ragstone` is installed only because the example's templates, and the model of an uploaded
# document, import from it.
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
# pgvector's default is 40, and the search needs more candidates.
OPTIONS = example.DATABASES["default"]["OPTIONS"] | {"options": "-c hnsw.ef_search=100"}
DATABASES = {"default": example.DATABASES["default"] | {"OPTIONS": OPTIONS}}

MODEL_FOLDER = Path(os.environ["STRESS_MODEL"])
# Number of threads of one run of the model; each process has a model of its own.
MODEL_THREADS = int(os.environ.get("STRESS_MODEL_THREADS", "1"))

from django.apps import apps
from django.core.management import call_command

from ragstone.models import Passage


def test_every_model_has_the_columns_of_its_view():
    for model in apps.get_app_config("ragstone").get_models():
        if model is not Passage:
            list(model.objects.all()[:1])


def test_migrations_have_all_that_the_models_have():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)

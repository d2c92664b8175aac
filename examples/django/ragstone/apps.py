from django.apps import AppConfig


class RagstoneConfig(AppConfig):
    name = "ragstone"
    verbose_name = "Ragstone"

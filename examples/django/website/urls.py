from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("knowledge.urls")),
    path("chat/", include("chat.urls")),
    path("agents/", include("agents.urls")),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
]

from django.urls import path

from knowledge import views

urlpatterns = [
    path("", views.search, name="search"),
    path("read/<slug:collection>/<int:key>/", views.read, name="read"),
    path("documents/", views.documents, name="documents"),
    path("documents/upload/", views.upload, name="upload"),
    path("documents/state/", views.state, name="documents-state"),
]

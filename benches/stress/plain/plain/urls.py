from django.contrib import admin
from django.urls import include, path

from plain import views

urlpatterns = [
    path("", views.search, name="search"),
    path("read/<slug:collection>/<int:key>/", views.left_out, name="read"),
    path("documents/", views.documents, name="documents"),
    path("documents/upload/", views.upload, name="upload"),
    path("chat/", views.chat, name="chat"),
    path("chat/personas/", views.left_out, name="personas"),
    path("chat/<int:session>/", views.conversation, name="conversation"),
    path("chat/<int:session>/events/", views.events, name="events"),
    path("chat/<int:session>/messages/<int:message>/rate/", views.left_out, name="rate"),
    path("chat/<int:session>/messages/<int:message>/citations/<int:number>/", views.left_out, name="citation"),
    path("accounts/", include("django.contrib.auth.urls")),
    path("admin/", admin.site.urls),
]

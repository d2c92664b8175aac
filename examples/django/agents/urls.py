from django.urls import path

from agents import views

urlpatterns = [
    path("", views.index, name="agents"),
    path("tasks/<int:job>/", views.task, name="task"),
    path("tasks/<int:job>/events/", views.events, name="task-events"),
    path("approvals/<int:step>/", views.decide, name="decide"),
]

from django.urls import path

from chat import views

urlpatterns = [
    path("", views.index, name="chat"),
    path("personas/", views.personas, name="personas"),
    path("<int:session>/", views.conversation, name="conversation"),
    path("<int:session>/events/", views.events, name="events"),
    path("<int:session>/messages/<int:message>/rate/", views.rate, name="rate"),
    path("<int:session>/messages/<int:message>/citations/<int:number>/", views.citation, name="citation"),
]

from django.contrib import admin

from knowledge.models import Document
from ragstone.admin import RefusableAdmin


@admin.register(Document)
class DocumentAdmin(RefusableAdmin):
    list_display = ("title", "kind", "uploaded_by", "uploaded_at")
    list_filter = ("kind", "uploaded_by", "uploaded_at")
    search_fields = ("title",)
    readonly_fields = ("uploaded_at",)

from django.contrib import admin

from knowledge.models import Document


@admin.register(Document)
class DocumentAdmin(admin.ModelAdmin):
    list_display = ("title", "kind", "uploaded_by", "uploaded_at")
    list_filter = ("kind", "uploaded_by", "uploaded_at")
    search_fields = ("title",)
    readonly_fields = ("uploaded_at",)

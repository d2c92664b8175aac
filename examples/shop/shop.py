#!/usr/bin/env python3
"""Searches the products of shop.sql from Django, with django-ragstone: filters, facets and pages.

libpq's variables (PGHOST, PGDATABASE, …) select the database. usage: shop.py [query]
"""

import os
import sys

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.postgres", "ragstone"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ.get("PGDATABASE", "postgres")}
    },
    USE_TZ=True,
)
django.setup()

from django.contrib.postgres.fields import ArrayField
from django.core.paginator import Paginator
from django.db import models
from ragstone.querysets import SearchManager


class Product(models.Model):
    """A row of the table of shop.sql."""

    id = models.BigIntegerField(primary_key=True)
    name = models.TextField()
    section = models.TextField()
    summary = models.TextField()
    description = models.TextField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    size = models.BigIntegerField()
    dated = models.DateField(null=True)
    tags = ArrayField(models.TextField())

    objects = SearchManager("products")

    class Meta:
        app_label = "shop"
        managed = False
        db_table = "products"


def main(query: str) -> None:
    cheap = {"price": {"$lt": 5}}
    found = Product.objects.rag_search(query, filter=cheap, k=100)
    pages = Paginator(found, 5)
    print(f"{pages.count} products on {pages.num_pages} pages")
    for number in (1, 2):
        for product in pages.get_page(number):
            print(f"page {number}: {product.rag_rank} {product.name} ({product.section}), {product.price}")
    for facet in Product.objects.rag_facets(query, ["section"], filter=cheap)["section"][:5]:
        print(f"section {facet.value}: {facet.rows}")
    small = found.filter(size__lt=100_000).aggregate(number=models.Count("pk"), dearest=models.Max("price"))
    print(f"{small['number']} of them are small, and cost {small['dearest'] or 0} at most")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "program that draws charts")

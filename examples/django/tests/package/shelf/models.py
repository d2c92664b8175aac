from django.db import models

from ragstone.querysets import SearchManager


class Author(models.Model):
    name = models.TextField()


class Book(models.Model):
    title = models.CharField(max_length=200)
    text = models.TextField(db_column="body")
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    published = models.DateField()

    objects = SearchManager("books")

    class Meta:
        ordering = ("title",)


class Shelf(models.Model):
    name = models.TextField()
    books = models.ManyToManyField(Book, related_name="shelves")


class Leaf(models.Model):
    """A source whose key has two columns."""

    pk = models.CompositePrimaryKey("book_id", "number")
    book = models.ForeignKey(Book, models.CASCADE)
    number = models.IntegerField()
    text = models.TextField()

    objects = SearchManager("leaves")

"""Collections in migrations. Each operation names the collection's source by a model, whose fields it translates to
columns, or by a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import router
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Model

# Arguments of rag.create_collection that are columns of the source.
COLUMNS = ("content", "title", "metadata", "key", "language_column")


class CreateExtension(Operation):
    """Creates the extension if an administrator has not done so. Reversed, it does nothing, because others may use it."""

    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if is_wanted(schema_editor, app_label):
            schema_editor.execute("CREATE EXTENSION IF NOT EXISTS ragstone CASCADE")

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        pass

    def describe(self) -> str:
        return "Creates the extension ragstone"

    @property
    def migration_name_fragment(self) -> str:
        return "ragstone"


class CollectionOperation(Operation):
    """An operation that changes no model: neither the state nor the other operations of a migration depend on it."""

    reduces_to_sql = True
    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass


class CreateCollection(CollectionOperation):
    """Makes a table searchable by rag.create_collection. Reversed, drops the collection.

    The source is a model (`"Document"`, `"app.Document"`) or, for tables without a model, `table="pages"`. Arguments and
    options that are columns take names of the model's fields. `options` are further arguments of the function. Without
    the option `sync`, the setting RAGSTONE_SYNC applies, if there is one.
    """

    # Django writes an operation into a squashed migration by the names of these arguments.
    def __init__(
        self,
        name: str,
        model: str | None = None,
        content: str | None = None,
        title: str | None = None,
        metadata: Sequence[str] = (),
        table: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.model, self.table = name, model, table
        self.arguments = {"content": content, "title": title, "metadata": metadata, **(options or {})}
        self.check()

    def check(self) -> None:
        """Raises TypeError if the arguments do not define a collection."""
        if (self.model is None) == (self.table is None):
            raise TypeError("expected either a model or a table")
        if self.arguments["content"] is None:
            raise TypeError("the argument content is missing")

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if is_wanted(schema_editor, app_label):
            self.create(app_label, schema_editor, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        if is_wanted(schema_editor, app_label):
            self.drop(schema_editor)

    def create(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState) -> None:
        if self.model is None:
            table, arguments = str(self.table), dict(self.arguments)
        else:
            label, _, name = self.model.rpartition(".")
            # The model as it is in the migration.
            model = state.apps.get_model(label or app_label, name)
            table, arguments = model._meta.db_table, with_columns(model, self.arguments)
        if sync := getattr(settings, "RAGSTONE_SYNC", None):
            arguments.setdefault("sync", sync)
        source = schema_editor.connection.ops.quote_name(table)
        call(schema_editor, "rag.create_collection", {"name": self.name, "source": source, **arguments})

    def drop(self, schema_editor: BaseDatabaseSchemaEditor) -> None:
        call(schema_editor, "rag.drop_collection", {"name": self.name})

    def describe(self) -> str:
        return f"Creates the collection {self.name} of {self.model or self.table}"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.name.lower()}_collection"


class DropCollection(CreateCollection):
    """Drops a collection; its source stays. Reversed, creates it again, if the arguments of CreateCollection are given.

    It precedes DeleteModel of its source.
    """

    def check(self) -> None:
        if self.model is not None and self.table is not None:
            raise TypeError("expected a model or a table, not both")
        has_source = self.model is not None or self.table is not None
        # Django reads it from the instance.
        self.reversible = has_source and self.arguments["content"] is not None  # type: ignore[misc]

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        super().database_backwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        super().database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"Drops the collection {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"drop_{self.name.lower()}_collection"


class AlterCollection(CollectionOperation):
    """Changes options of a collection by rag.alter_collection. Reversed, sets the options of `reverse`."""

    def __init__(self, name: str, options: Mapping[str, Any], reverse: Mapping[str, Any] | None = None) -> None:
        self.name, self.options, self.reverse = name, options, reverse
        self.reversible = reverse is not None  # type: ignore[misc]

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self.alter(app_label, schema_editor, self.options)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        self.alter(app_label, schema_editor, self.reverse or {})

    def alter(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, options: Mapping[str, Any]) -> None:
        if is_wanted(schema_editor, app_label):
            call(schema_editor, "rag.alter_collection", {"name": self.name, **options})

    def describe(self) -> str:
        return f"Changes {', '.join(self.options)} of the collection {self.name}"

    @property
    def migration_name_fragment(self) -> str:
        return f"alter_{self.name.lower()}_collection"


def is_wanted(schema_editor: BaseDatabaseSchemaEditor, app_label: str) -> bool:
    """Returns whether the database is PostgreSQL, and the routers let the application migrate it."""
    connection = schema_editor.connection
    return connection.vendor == "postgresql" and router.allow_migrate(connection.alias, app_label)


def with_columns(model: type[Model], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options with columns in place of the model's fields."""
    return {name: columns(model, value) if name in COLUMNS else value for name, value in options.items()}


def columns(model: type[Model], names: str | Sequence[str] | None) -> str | list[str] | None:
    if names is None:
        return None
    if not isinstance(names, str):
        return [column(model, name) for name in names]
    return column(model, names)


def column(model: type[Model], name: str) -> str:
    """Returns the column of a field; a name that is no field is a column already, and the database checks it."""
    try:
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        return name
    return getattr(field, "column", None) or name


def call(schema_editor: BaseDatabaseSchemaEditor, function: str, values: Mapping[str, Any]) -> None:
    """Calls a function with named arguments; the names are quoted, and the values are parameters."""
    quote = schema_editor.connection.ops.quote_name
    # `name[]` fits an array whichever way the driver sends it; a string takes the type of the argument.
    casts = {name: "::name[]" if isinstance(value, list | tuple) else "" for name, value in values.items()}
    arguments = ", ".join(f"{quote(name)} => %s{casts[name]}" for name in values)
    given = [list(value) if isinstance(value, tuple) else value for value in values.values()]
    schema_editor.execute(f"SELECT {function}({arguments})", given)

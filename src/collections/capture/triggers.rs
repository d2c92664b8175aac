//! The triggers on a source, and on its partitions and children: a parent's trigger does not fire for writes to a leaf.
//! A statement trigger can have transition tables for one event only, so there is one for each event. Row triggers that
//! are enabled for replicas stand in where replicated changes are applied, since statement triggers do not fire there.

use crate::collections::capture::own_ddl::run_own;
use crate::collections::catalog::collection::Collection;
use pgrx::pg_sys;
use ragstone_pg::error::Result;
use ragstone_pg::identifier::{literal, quoted};
use ragstone_pg::spi::{Arg, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// A trigger that is created on each table of a source.
struct TriggerDefinition {
    event: &'static str,
    /// The trigger's definition, with `{}` for the table.
    definition: &'static str,
    /// ALWAYS or REPLICA, as in ALTER TABLE … ENABLE; None for the default, which fires in sessions with
    /// `session_replication_role = origin`.
    enable: Option<&'static str>,
}

/// The statement triggers. The trigger for TRUNCATE also fires when logical replication applies a TRUNCATE;
/// the row trigger captures the rows that logical replication writes.
const STATEMENT_TRIGGERS: [TriggerDefinition; 4] = [
    TriggerDefinition {
        event: "insert",
        definition: "AFTER INSERT ON {} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
        enable: None,
    },
    TriggerDefinition {
        event: "update",
        definition: "AFTER UPDATE ON {} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT",
        enable: None,
    },
    TriggerDefinition {
        event: "delete",
        definition: "AFTER DELETE ON {} REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
        enable: None,
    },
    TriggerDefinition {
        event: "truncate",
        definition: "AFTER TRUNCATE ON {} FOR EACH STATEMENT",
        enable: Some("ALWAYS"),
    },
];

/// The row trigger, for tables that store rows themselves.
const REPLICA_TRIGGER: TriggerDefinition = TriggerDefinition {
    event: "replica",
    definition: "AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW",
    enable: Some("REPLICA"),
};

struct TriggerTable {
    oid: pg_sys::Oid,
    owner: pg_sys::Oid,
    name: String,
    holds_rows: bool,
}

struct ExistingTrigger {
    table: TriggerTable,
    trigger: String,
    arguments: Vec<u8>,
}

/// Creates missing triggers and drops outdated ones. Returns the tables whose triggers it changed.
pub fn install(collection: &Collection) -> Result<Vec<pg_sys::Oid>> {
    let arguments = arguments(collection);
    let tables = tables(collection)?;
    let (right, stale) = existing(collection, &tables, &arguments)?;
    stale.iter().try_for_each(drop_trigger)?;
    let missing = missing(collection, &tables, &right);
    let create = |(table, name, definition): &(&TriggerTable, String, &TriggerDefinition)| {
        create_trigger(table, name, definition, &arguments)
    };
    // Otherwise the event trigger would follow the first of these commands and create the others.
    run_own(|| missing.iter().try_for_each(create))?;
    let changed = stale.iter().map(|trigger| trigger.table.oid);
    Ok(changed.chain(missing.iter().map(|(table, ..)| table.oid)).collect())
}

/// True if all triggers exist and are up to date.
pub fn are_complete(collection: &Collection) -> Result<bool> {
    let tables = tables(collection)?;
    let (right, stale) = existing(collection, &tables, &arguments(collection))?;
    Ok(stale.is_empty() && missing(collection, &tables, &right).is_empty())
}

/// Drops all triggers of a collection.
pub fn remove(collection: &Collection) -> Result<()> {
    let tables = if collection.source.is_some() { tables(collection)? } else { Vec::new() };
    found(collection, &tables)?.iter().try_for_each(drop_trigger)
}

fn trigger_name(collection: i64, event: &str) -> String {
    format!("ragstone_{collection}_{event}")
}

/// The trigger's arguments: the collection, the number of key columns, those columns, and the other columns to watch.
fn arguments(collection: &Collection) -> Vec<String> {
    let mut arguments = vec![collection.id.to_string(), collection.key.len().to_string()];
    arguments.extend(collection.key.iter().cloned());
    arguments.push(collection.content.clone());
    arguments.extend(collection.title.iter().chain(&collection.metadata).cloned());
    arguments
}

fn create_trigger(
    table: &TriggerTable,
    name: &str,
    definition: &TriggerDefinition,
    arguments: &[String],
) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(|argument| literal(argument)).collect();
    let name = quoted(name);
    as_owner(table.owner, || {
        run_once(&format!(
            "CREATE TRIGGER {name} {} EXECUTE FUNCTION rag._capture({})",
            definition.definition.replace("{}", &table.name),
            arguments.join(", ")
        ))?;
        if let Some(enable) = definition.enable {
            run_once(&format!("ALTER TABLE {} ENABLE {enable} TRIGGER {name}", table.name))?;
        }
        Ok(())
    })
}

fn drop_trigger(existing: &ExistingTrigger) -> Result<()> {
    let ExistingTrigger { table, trigger, .. } = existing;
    as_owner(table.owner, || {
        run_once(&format!("DROP TRIGGER IF EXISTS {} ON {}", quoted(trigger), table.name)).map(|_| ())
    })
}

/// The source and all tables that inherit from it.
fn tables(collection: &Collection) -> Result<Vec<TriggerTable>> {
    let rows = run(
        include_str!("../../../sql/queries/tree.sql"),
        &[Arg::new(collection.source_of_any_owner()?.oid)],
    )?;
    let table = |row| {
        Some(TriggerTable {
            oid: rows.oid(row, 0)?,
            owner: rows.oid(row, 1)?,
            name: rows.text(row, 2)?,
            holds_rows: rows.text(row, 3)? == "r",
        })
    };
    Ok((0..rows.count).filter_map(table).collect())
}

/// The existing triggers: those that are up to date, and the others.
fn existing(
    collection: &Collection,
    tables: &[TriggerTable],
    arguments: &[String],
) -> Result<(Vec<ExistingTrigger>, Vec<ExistingTrigger>)> {
    let stored: Vec<u8> = arguments.iter().flat_map(|argument| argument.bytes().chain([0])).collect();
    let right = |found: &ExistingTrigger| {
        found.arguments == stored && tables.iter().any(|table| table.oid == found.table.oid)
    };
    Ok(found(collection, tables)?.into_iter().partition(right))
}

/// The missing triggers: table, name, and definition.
fn missing<'a>(
    collection: &Collection,
    tables: &'a [TriggerTable],
    existing: &[ExistingTrigger],
) -> Vec<(&'a TriggerTable, String, &'static TriggerDefinition)> {
    let wanted = tables.iter().flat_map(|table| {
        let replica = table.holds_rows.then_some(&REPLICA_TRIGGER);
        STATEMENT_TRIGGERS.iter().chain(replica).map(move |definition| (table, definition))
    });
    wanted
        .map(|(table, definition)| (table, trigger_name(collection.id, definition.event), definition))
        .filter(|(table, name, _)| {
            !existing.iter().any(|found| found.table.oid == table.oid && found.trigger == *name)
        })
        .collect()
}

/// The collection's triggers on these tables, and on other tables of the same owner, which may have been
/// among them before. Triggers with these names on tables of other roles are ignored, since any role can
/// create them and this session must not wait for locks on such tables.
fn found(collection: &Collection, tables: &[TriggerTable]) -> Result<Vec<ExistingTrigger>> {
    let rows = run(
        include_str!("../../../sql/queries/triggers.sql"),
        &[Arg::text(&format!("ragstone_{}_", collection.id))],
    )?;
    let owner = collection.accepted_owner.or(collection.source.as_ref().map(|source| source.owner));
    let is_own = |found: &ExistingTrigger| {
        owner == Some(found.table.owner) || tables.iter().any(|table| table.oid == found.table.oid)
    };
    let existing = |row| {
        Some(ExistingTrigger {
            table: TriggerTable {
                oid: rows.oid(row, 0)?,
                owner: rows.oid(row, 1)?,
                name: rows.text(row, 2)?,
                holds_rows: false,
            },
            trigger: rows.text(row, 3)?,
            arguments: rows.bytea(row, 4)?,
        })
    };
    Ok((0..rows.count).filter_map(existing).filter(is_own).collect())
}

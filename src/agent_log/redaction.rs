//! Removes secrets from log entries before they are stored, by the rules of `rag.redactions`, which each
//! session compiles once.

use crate::agent_log::insert::{Unwritten, write};
use crate::agent_log::tables;
use pgrx::pg_sys;
use ragstone_client::settings;
use ragstone_core::jsonb::any_string;
use ragstone_core::log::{BadPattern, Entry, Redactor, Rule, shorten};
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::catalogue;
use ragstone_pg::encoding::accepts_utf8;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::relcache;
use ragstone_pg::spi::{Arg, connect, run, select, with_latest_snapshot};
use ragstone_pg::trigger::{Event, TriggerCall};
use ragstone_pg::wait::serve_interrupts;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Once;

thread_local! {
    static RULES: RefCell<Option<Rc<Redactor>>> = const { RefCell::new(None) };

    /// The OID of the table when the rules were read.
    static TABLE: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::InvalidOid) };

    /// True if no invalidation of the table has arrived since the rules were read.
    static RULES_ARE_CURRENT: Cell<bool> = const { Cell::new(false) };
}

/// The value without its secrets; None if it contains no secret.
pub fn jsonb(value: JsonbRef) -> Result<Option<Jsonb>> {
    let rules = rules()?;
    let has_secret = |text: &[u8]| std::str::from_utf8(text).map_or(true, |text| rules.may_find_in(text));
    if accepts_utf8() && !rules.looks_at_numbers() && !any_string(value.bytes, has_secret) {
        return Ok(None);
    }
    match rules.json(&value.to_json()?) {
        Cow::Borrowed(_) => Ok(None),
        Cow::Owned(json) => Jsonb::from_json(&json).map(Some),
    }
}

/// The text without its secrets.
pub fn text(text: &str) -> Result<Cow<'_, str>> {
    Ok(rules()?.text(text))
}

/// Redacts and shortens imported entries, and writes them as [`write()`] does.
pub fn write_redacted(entries: &[Entry]) -> Result<Unwritten> {
    let mut entries = entries.to_vec();
    entries.iter_mut().try_for_each(redact)?;
    write(&entries)
}

fn redact(entry: &mut Entry) -> Result<()> {
    let (rules, limit) = (rules()?, settings::log_max_value());
    let json = |value: &mut Option<String>| {
        if let Some(Cow::Owned(clean)) = value.as_deref().map(|value| rules.json(value)) {
            *value = Some(clean);
        }
        if let Some(long) = value.take_if(|value| value.len() > limit) {
            *value = Some(shorten(&long, limit));
        }
    };
    let text = |value: &mut Option<String>| {
        if let Some(Cow::Owned(clean)) = value.as_deref().map(|value| rules.text(value)) {
            *value = Some(clean);
        }
    };
    match entry {
        Entry::Start(run) => {
            [&mut run.input, &mut run.attributes].into_iter().for_each(json);
            run.agent = rules.text(&run.agent).into_owned();
        }
        Entry::Step(step) => {
            [&mut step.input, &mut step.output, &mut step.attributes].into_iter().for_each(json);
            [&mut step.name, &mut step.model, &mut step.error].into_iter().for_each(text);
            step.agent = rules.text(&step.agent).into_owned();
        }
        Entry::End(end) => {
            json(&mut end.output);
            text(&mut end.error);
        }
    }
    Ok(())
}

/// The triggers of `rag.redactions`. The row triggers validate the new row; the statement triggers invalidate
/// the rules that sessions have read.
pub fn changed(trigger: TriggerCall) -> Result<()> {
    if !trigger.is_for_row() {
        relcache::invalidate(trigger.relation());
        return Ok(());
    }
    let text = |column: &str| {
        let row = trigger.new_row()?;
        row.text(trigger.column(column)?)
    };
    let rule = Rule {
        name: text("name").unwrap_or_default(),
        pattern: text("pattern").unwrap_or_default(),
        replacement: text("replacement").unwrap_or_default(),
        is_for_keys: text("of_key").as_deref() == Some("t"),
    };
    rule.check().map_err(invalid_pattern)?;
    if trigger.event() == Event::Insert {
        connect(|| run(include_str!("../../sql/queries/replace_redaction.sql"), &[Arg::text(&rule.name)]))?;
    }
    Ok(())
}

fn rules() -> Result<Rc<Redactor>> {
    register_invalidation();
    if RULES_ARE_CURRENT.get()
        && let Some(rules) = RULES.with_borrow(Option::clone)
    {
        return Ok(rules);
    }
    // Set before reading, so that an invalidation that arrives meanwhile is not lost.
    RULES_ARE_CURRENT.set(true);
    match read_rules() {
        Ok(rules) => {
            let rules = Rc::new(rules);
            RULES.set(Some(Rc::clone(&rules)));
            Ok(rules)
        }
        Err(error) => {
            RULES_ARE_CURRENT.set(false);
            Err(error)
        }
    }
}

/// Reads the rules with a new snapshot instead of the transaction's.
fn read_rules() -> Result<Redactor> {
    TABLE.set(catalogue::extension_relation(c"redactions")?);
    let rules = connect(|| {
        tables::as_owner(|| {
            let rows = with_latest_snapshot(|| {
                select(
                    "SELECT name, pattern, replacement, of_key FROM rag.redactions WHERE enabled ORDER BY name",
                    &[],
                )
            })?;
            let rules = (0..rows.count).filter_map(|row| {
                Some(Rule {
                    name: rows.text(row, 0)?,
                    pattern: rows.text(row, 1)?,
                    replacement: rows.text(row, 2)?,
                    is_for_keys: rows.boolean(row, 3)?,
                })
            });
            Ok(rules.collect())
        })
    })?;
    // A value may be as long as a field, and the patterns as many as an administrator likes.
    Ok(Redactor::new(rules).map_err(invalid_pattern)?.calling(serve_interrupts))
}

fn register_invalidation() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        relcache::on_change(|table| {
            if table.is_none_or(|table| table == TABLE.get()) {
                RULES_ARE_CURRENT.set(false);
            }
        });
    });
}

fn invalid_pattern(pattern: BadPattern) -> Error {
    Error::invalid_regular_expression(pattern.to_string())
        .detail(pattern.reason)
        .hint("Patterns are regular expressions of the Rust crate regex, which has neither look-around nor back-references.")
}

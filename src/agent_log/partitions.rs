//! The log's partitions: a week each, made ahead by the database's first worker, and dropped when they are old enough.
//!
//! No writer waits for long: a lock that others hold is asked for again later, and rows are moved out of the default partition
//! only where they are few.

use pgrx::log;
use ragstone_client::settings;
use ragstone_pg::attempt::in_transaction;
use ragstone_pg::error::Result;
use ragstone_pg::extension::is_installed;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{Arg, connect, run, run_once};
use ragstone_pg::switch_user::{as_owner, with_settings};
use std::time::{Duration, Instant};

/// The tables that have weeks, and what else a week's partition needs.
const TABLES: [(&str, &str); 2] = [
    (
        "_runs",
        "ALTER TABLE rag.{week} ADD PRIMARY KEY (id, started);
         CREATE INDEX {week}_ended ON rag.{week} (id) WHERE NOT counted AND finished IS NOT NULL",
    ),
    (
        "_steps",
        "ALTER TABLE rag.{week} ADD PRIMARY KEY (id, started);
         CREATE INDEX {week}_run ON rag.{week} (run_id, number);
         CREATE INDEX {week}_written ON rag.{week} (written, id)",
    ),
];

/// How long a lock is waited for, and others behind us with it.
const PATIENCE: &str = "100ms";

/// Rows of the default partition that are moved into a week's. Reading and writing the default partition waits meanwhile.
const MOST_MOVED: i64 = 20_000;

/// Old rows that are deleted in one transaction.
const PRUNED_AT_ONCE: i64 = 1000;

/// After so long it is looked again, where all is as it should be.
const SELDOM: Duration = Duration::from_secs(600);

/// After so long it is looked again, where there is no log yet or a lock was not free.
const SOON: Duration = Duration::from_secs(2);

/// What the worker has to do with weeks.
pub struct Weeks {
    look_at: Instant,
    /// What `rag.log_retention` was then.
    retention: Option<i32>,
    unfinished: bool,
}

impl Weeks {
    /// Before anything was looked at.
    pub fn new() -> Self {
        Self { look_at: Instant::now(), retention: None, unfinished: false }
    }

    /// Makes the weeks that are missing, and drops what is too old, where it is time to. Not to be called where a transaction is
    /// open.
    pub fn tend(&mut self) {
        let retention = settings::log_retention();
        if Instant::now() < self.look_at && retention == self.retention {
            return;
        }
        self.retention = retention;
        self.unfinished = false;
        let pause = match tend() {
            Ok(Looked::Well) => SELDOM,
            Ok(Looked::NotBegun) => SOON,
            Ok(Looked::Unfinished) => self.soon(),
            Err(error) if error.is_lock_not_available() => self.soon(),
            Err(error) => {
                log!(
                    "ragstone worker: could not see to the log's weeks: {}: {}",
                    error.code(),
                    error.message
                );
                SELDOM
            }
        };
        self.look_at = Instant::now() + pause;
    }

    /// Whether something could not be done yet.
    pub fn are_unfinished(&self) -> bool {
        self.unfinished
    }

    fn soon(&mut self) -> Duration {
        self.unfinished = true;
        SOON
    }
}

enum Looked {
    /// All is as it should be.
    Well,
    /// There is more to do.
    Unfinished,
    /// There is no log yet.
    NotBegun,
}

fn tend() -> Result<Looked> {
    let mut looked = Looked::Well;
    for (table, keys) in TABLES {
        match as_log_owner(|| missing(table))? {
            None => return Ok(Looked::NotBegun),
            Some(weeks) => {
                for week in weeks {
                    as_log_owner(|| week.make(table, keys))?;
                }
            }
        }
        as_log_owner(note_day)?;
        if let Some(days) = settings::log_retention() {
            for week in as_log_owner(|| old(table, days))? {
                as_log_owner(|| run_once(&format!("DROP TABLE rag.{week}")).map(|_| ()))?;
            }
            if as_log_owner(|| prune(table, days))? {
                looked = Looked::Unfinished;
            }
        }
    }
    Ok(looked)
}

/// Does `work` in a transaction of its own as the owner of the tables. Nothing is done where the extension has gone.
fn as_log_owner<T: Default>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let work = || {
        let work = || with_settings(&[("lock_timeout", PATIENCE)], work);
        if is_installed()? { as_owner(config_owner()?, work) } else { Ok(T::default()) }
    };
    in_transaction(|| with_safe_search_path(|| connect(work)))
}

/// A week that has no partition.
struct Week {
    name: String,
    since: String,
    until: String,
}

/// The weeks that are missing; none where there is no log yet.
fn missing(table: &str) -> Result<Option<Vec<Week>>> {
    let begun = run("SELECT is_called FROM rag._run_id UNION ALL SELECT is_called FROM rag._step_id", &[])?;
    if begun.boolean(0, 0) != Some(true) && begun.boolean(1, 0) != Some(true) {
        return Ok(None);
    }
    let rows = run(include_str!("../../sql/queries/weeks.sql"), &[Arg::text(table)])?;
    let weeks = (0..rows.count).filter_map(|row| {
        Some(Week { name: rows.text(row, 0)?, since: rows.text(row, 1)?, until: rows.text(row, 2)? })
    });
    Ok(Some(weeks.collect()))
}

impl Week {
    /// Makes the partition, with the rows that were written before there was one. Where these are many they stay.
    ///
    /// ATTACH PARTITION alone would let others go on, but a writer that it has made wait for the default partition would then
    /// be told that his row does not belong there, and a reader would find the moved rows in neither.
    fn make(&self, table: &str, keys: &str) -> Result<()> {
        let Self { name, since, until } = self;
        let inside = format!("started >= '{since}' AND started < '{until}'");
        let many =
            run_once(&format!("SELECT FROM rag.{table}_other WHERE {inside} OFFSET {MOST_MOVED} LIMIT 1"))?;
        if many.count > 0 {
            return Ok(());
        }
        run_once(&format!(
            "LOCK TABLE rag.{table} IN ACCESS EXCLUSIVE MODE;
             CREATE TABLE rag.{name} (LIKE rag.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
             REVOKE ALL ON rag.{name} FROM PUBLIC;
             COMMENT ON TABLE rag.{name} IS 'internal: a week of rag.{table}'"
        ))?;
        run_once(&format!(
            "WITH moved AS (DELETE FROM rag.{table}_other WHERE {inside} RETURNING *)
             INSERT INTO rag.{name} SELECT * FROM moved"
        ))?;
        run_once(&keys.replace("{week}", name))?;
        run_once(&format!(
            "ALTER TABLE rag.{table} ATTACH PARTITION rag.{name} FOR VALUES FROM ('{since}') TO ('{until}')"
        ))?;
        Ok(())
    }
}

/// Partitions of weeks that are too old.
fn old(table: &str, days: i32) -> Result<Vec<String>> {
    let rows = run(include_str!("../../sql/queries/old_weeks.sql"), &[Arg::text(table), Arg::new(days)])?;
    Ok((0..rows.count).filter_map(|row| rows.text(row, 0)).collect())
}

/// Deletes some rows of the default partition that are too old. Gives whether there may be more.
fn prune(table: &str, days: i32) -> Result<bool> {
    let number = if table == "_runs" { "run_id" } else { "step_id" };
    let statement = include_str!("../../sql/queries/prune_log.sql");
    let statement = statement.replace("{table}", &format!("{table}_other")).replace("{number}", number);
    let deleted = run(&statement, &[Arg::new(days), Arg::new(PRUNED_AT_ONCE)])?;
    Ok(deleted.count as i64 == PRUNED_AT_ONCE)
}

/// Notes the day's numbers.
fn note_day() -> Result<()> {
    run(
        "INSERT INTO rag._log_days (day, run_id, step_id)
         SELECT (now() AT TIME ZONE 'UTC')::date, r.last_value, s.last_value FROM rag._run_id r, rag._step_id s
         ON CONFLICT (day) DO NOTHING",
        &[],
    )
    .map(|_| ())
}

//! The log's partitions: one per week. The database's coordinator creates them ahead, and drops them when
//! `rag.log_retention` has passed.
//!
//! Writers never wait long: a lock that is not available is requested again later, and rows are moved out of
//! the default partition only if they are few.

use crate::agent_log::tables;
use pgrx::log;
use ragstone_client::settings;
use ragstone_pg::error::Result;
use ragstone_pg::spi::{Arg, run, run_once};
use std::time::{Duration, Instant};

/// The partitioned tables, and the keys and indexes that each of their partitions needs.
const TABLES: [(&str, &str); 2] = [
    (
        "_runs",
        "ALTER TABLE rag.{week} ADD PRIMARY KEY (id, started);
         CREATE INDEX {week}_ended ON rag.{week} (id) WHERE NOT counted AND finished IS NOT NULL;
         CREATE INDEX {week}_imported ON rag.{week} ((attributes->>'log.digest')) WHERE attributes->>'log.digest' IS NOT NULL",
    ),
    (
        "_steps",
        "ALTER TABLE rag.{week} ADD PRIMARY KEY (id, started);
         CREATE INDEX {week}_run ON rag.{week} (run_id, number);
         CREATE INDEX {week}_written ON rag.{week} (written, id)",
    ),
];

/// Maximum wait for a lock. Later lock requests for the same table queue behind this one meanwhile.
const LOCK_TIMEOUT: &str = "100ms";

/// Maximum number of rows that are moved from the default partition into a new one. The default partition
/// cannot be read or written meanwhile.
const MAX_MOVED_ROWS: i64 = 20_000;

/// Maximum number of expired rows that one transaction deletes from the default partition.
const PRUNE_BATCH: i64 = 1000;

/// Interval between checks while no partition is missing or expired.
const CHECK_INTERVAL: Duration = Duration::from_secs(600);

/// Interval between checks while the log is unused, or after a lock was not available.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The coordinator's maintenance of the partitions.
pub struct Partitions {
    check_at: Instant,
    /// `rag.log_retention` at the last check.
    retention: Option<i32>,
    unfinished: bool,
}

impl Partitions {
    /// The state before the first check, which is due at once.
    pub fn new() -> Self {
        Self { check_at: Instant::now(), retention: None, unfinished: false }
    }

    /// Creates missing partitions and drops expired ones, if a check is due. Must not be called inside a transaction.
    pub fn run_due(&mut self) {
        let retention = settings::log_retention();
        if Instant::now() < self.check_at && retention == self.retention {
            return;
        }
        self.retention = retention;
        self.unfinished = false;
        let pause = match maintain() {
            Ok(Maintenance::Done) => CHECK_INTERVAL,
            Ok(Maintenance::LogUnused) => RETRY_INTERVAL,
            Ok(Maintenance::Unfinished) => self.retry(),
            Err(error) if error.is_lock_not_available() => self.retry(),
            Err(error) => {
                log!(
                    "ragstone coordinator: could not maintain the log's partitions: {}: {}",
                    error.code(),
                    error.message
                );
                CHECK_INTERVAL
            }
        };
        self.check_at = Instant::now() + pause;
    }

    /// True if the last check left work to be retried.
    pub fn are_unfinished(&self) -> bool {
        self.unfinished
    }

    fn retry(&mut self) -> Duration {
        self.unfinished = true;
        RETRY_INTERVAL
    }
}

/// The result of a check.
enum Maintenance {
    /// No partition is missing or expired.
    Done,
    /// More rows have to be deleted.
    Unfinished,
    /// Nothing has been logged yet.
    LogUnused,
}

fn maintain() -> Result<Maintenance> {
    let mut result = Maintenance::Done;
    for (table, keys) in TABLES {
        match in_transaction(|| missing(table))? {
            None => return Ok(Maintenance::LogUnused),
            Some(weeks) => {
                for week in weeks {
                    in_transaction(|| week.create_partition(table, keys))?;
                }
            }
        }
        in_transaction(note_day)?;
        if let Some(days) = settings::log_retention() {
            for partition in in_transaction(|| expired(table, days))? {
                in_transaction(|| run_once(&format!("DROP TABLE rag.{partition}")).map(|_| ()))?;
            }
            if in_transaction(|| prune(table, days))? {
                result = Maintenance::Unfinished;
            }
        }
    }
    Ok(result)
}

/// Runs `work` in a transaction of its own as the owner of the tables. Returns the default value if the
/// extension has been dropped.
fn in_transaction<T: Default>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    tables::as_log_owner(LOCK_TIMEOUT, work).map(Option::unwrap_or_default)
}

/// A week that has no partition.
struct MissingWeek {
    partition: String,
    since: String,
    until: String,
}

/// The weeks that lack a partition. None if nothing has been logged yet.
fn missing(table: &str) -> Result<Option<Vec<MissingWeek>>> {
    let begun = run("SELECT is_called FROM rag._run_id UNION ALL SELECT is_called FROM rag._step_id", &[])?;
    if begun.boolean(0, 0) != Some(true) && begun.boolean(1, 0) != Some(true) {
        return Ok(None);
    }
    let rows = run(include_str!("../../sql/queries/missing_partitions.sql"), &[Arg::text(table)])?;
    let weeks = (0..rows.count).filter_map(|row| {
        Some(MissingWeek {
            partition: rows.text(row, 0)?,
            since: rows.text(row, 1)?,
            until: rows.text(row, 2)?,
        })
    });
    Ok(Some(weeks.collect()))
}

impl MissingWeek {
    /// Creates the partition and moves the week's rows out of the default partition. Does nothing if there
    /// are too many of these rows.
    ///
    /// ATTACH PARTITION alone would take a weaker lock. But a writer that waits for the default partition
    /// meanwhile would then fail, because its row no longer belongs there, and a reader would find the moved
    /// rows in neither partition.
    fn create_partition(&self, table: &str, keys: &str) -> Result<()> {
        let Self { partition, since, until } = self;
        let inside = format!("started >= '{since}' AND started < '{until}'");
        let too_many = run_once(&format!(
            "SELECT FROM rag.{table}_other WHERE {inside} OFFSET {MAX_MOVED_ROWS} LIMIT 1"
        ))?;
        if too_many.count > 0 {
            return Ok(());
        }
        run_once(&format!(
            "LOCK TABLE rag.{table} IN ACCESS EXCLUSIVE MODE;
             CREATE TABLE rag.{partition} (LIKE rag.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
             REVOKE ALL ON rag.{partition} FROM PUBLIC;
             COMMENT ON TABLE rag.{partition} IS 'internal: a week of rag.{table}'"
        ))?;
        run_once(&format!(
            "WITH moved AS (DELETE FROM rag.{table}_other WHERE {inside} RETURNING *)
             INSERT INTO rag.{partition} SELECT * FROM moved"
        ))?;
        run_once(&keys.replace("{week}", partition))?;
        run_once(&format!(
            "ALTER TABLE rag.{table} ATTACH PARTITION rag.{partition} FOR VALUES FROM ('{since}') TO ('{until}')"
        ))?;
        Ok(())
    }
}

/// Names of partitions whose weeks are older than the retention.
fn expired(table: &str, days: i32) -> Result<Vec<String>> {
    let rows =
        run(include_str!("../../sql/queries/expired_partitions.sql"), &[Arg::text(table), Arg::new(days)])?;
    Ok((0..rows.count).filter_map(|row| rows.text(row, 0)).collect())
}

/// Deletes a batch of expired rows of the default partition. Returns true if there may be more.
fn prune(table: &str, days: i32) -> Result<bool> {
    let number = if table == "_runs" { "run_id" } else { "step_id" };
    let statement = include_str!("../../sql/queries/prune_log.sql");
    let statement = statement.replace("{table}", &format!("{table}_other")).replace("{number}", number);
    let deleted = run(&statement, &[Arg::new(days), Arg::new(PRUNE_BATCH)])?;
    Ok(deleted.count as i64 == PRUNE_BATCH)
}

/// Records the highest run and step numbers of the day, by which retention recognises rows that were imported later.
fn note_day() -> Result<()> {
    run(
        "INSERT INTO rag._log_days (day, run_id, step_id)
         SELECT (now() AT TIME ZONE 'UTC')::date, r.last_value, s.last_value FROM rag._run_id r, rag._step_id s
         ON CONFLICT (day) DO NOTHING",
        &[],
    )
    .map(|_| ())
}

//! pgbench clients that write to the table `t` in all the ways in which a row can change.

use crate::Result;
use crate::harness::NotRun;
use crate::sample::texts;
use crate::server::Server;
use crate::session::Session;
use crate::wait::{self, SOON};
use anyhow::{Context, ensure};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// Number of clients that write at the same time.
pub const CLIENTS: i64 = 4;
/// Rows have keys below this number, so that clients change the same rows.
pub const KEYS: usize = 150;

/// Messages that pgbench may print: the server shuts down or starts, two clients conflict, or a key exists.
/// These end a client; pgbench prints the last message if a client was ended.
const EXPECTED: &[&str] = &[
    "terminating connection",
    "the database system is",
    "server closed the connection",
    "connection to server",
    "perhaps the backend died",
    "command send failed",
    "could not create connection",
    "deadlock detected",
    "duplicate key value",
    "Run was aborted",
];

/// Bodies are empty, or one to four sentences out of a few, so that rows share chunks.
const CREATE: &str = r"
    CREATE TABLE t (id int PRIMARY KEY, body text, kind text NOT NULL DEFAULT 'new', hits int NOT NULL DEFAULT 0);
    CREATE SEQUENCE steps;
    CREATE TABLE sentences (number int PRIMARY KEY, sentence text NOT NULL);
    CREATE FUNCTION some_body(seed int) RETURNS text STABLE LANGUAGE sql AS $$
      SELECT CASE seed % 20 WHEN 0 THEN NULL WHEN 1 THEN ' ' ELSE
        (SELECT string_agg(sentence, E'.\n\n') || '.' FROM generate_series(0, seed / 20 % 4) AS place
         JOIN sentences ON number = (hashint4(seed + place) & 65535) % (SELECT count(*) FROM sentences)) END $$";

const BEFORE: &str = r"
\set id random(0, :keys - 1)
\set other random(0, :keys - 1)
\set seed random(0, 1000000)
";
const INSERT: &str = "INSERT INTO t (id, body) VALUES (:id, some_body(:seed))
    ON CONFLICT (id) DO UPDATE SET body = excluded.body;";
const UPDATE: &str = "UPDATE t SET body = some_body(:seed) WHERE id = :id;";
const DELETE: &str = "DELETE FROM t WHERE id = :id;";
const MOVE: &str =
    "UPDATE t SET id = :other WHERE id = :id AND NOT EXISTS (SELECT FROM t AS o WHERE o.id = :other);";
const AFTER: &str = "SELECT nextval('steps');";

/// The actions of a client in one step, with their frequency in percent.
const STEPS: &[(u32, &[&str])] = &[
    (35, &[INSERT]),
    (20, &[UPDATE]),
    (10, &["UPDATE t SET hits = hits + 1 WHERE id BETWEEN :id AND :id + 5;"]),
    (10, &[DELETE]),
    (10, &[MOVE]),
    (3, &["UPDATE t SET kind = 'kind ' || :other % 3 WHERE id = :id;"]),
    (2, &["UPDATE t SET body = some_body(:seed) WHERE id % 3 = :other % 3;"]),
    (2, &["BEGIN;", r"\set other :id + :keys", MOVE, INSERT, DELETE, "COMMIT;"]),
    (2, &["BEGIN;", INSERT, MOVE, "COMMIT;"]),
    (2, &["BEGIN;", UPDATE, "DELETE FROM t WHERE id = :other;", "ROLLBACK;"]),
    (1, &["BEGIN;", "TRUNCATE t;", INSERT, "COMMIT;"]),
    // The worker may read the row before its deletion is rolled back.
    (3, &[INSERT, "BEGIN;", DELETE, "SELECT count(*) FROM generate_series(1, :seed);", "ROLLBACK;"]),
];

/// pgbench's scripts for a server.
pub struct Writers {
    scripts: Vec<String>,
    said: PathBuf,
}

impl Writers {
    /// Creates the table `t` and the other objects that the scripts need; [`NotRun`] if there is no pgbench.
    pub async fn prepare(server: &Server, session: &Session) -> Result<Self> {
        let program = server.install.bin.join("pgbench");
        ensure!(program.exists(), NotRun(format!("there is no {}", program.display())));
        session.batch_execute(CREATE).await?;
        for (number, sentence) in texts(40, 14).iter().enumerate() {
            session.execute("INSERT INTO sentences VALUES ($1, $2)", &[&(number as i32), sentence]).await?;
        }
        let mut scripts = Vec::new();
        for (number, (weight, statements)) in STEPS.iter().enumerate() {
            let path = server.folder().join(format!("step-{number}.sql"));
            fs::write(&path, format!("{BEFORE}{}\n{AFTER}\n", statements.join("\n")))?;
            scripts.push(format!("--file={}@{weight}", path.display()));
        }
        Ok(Self { scripts, said: server.folder().join("pgbench") })
    }

    /// Number of steps since the start. After a crash it includes a few steps that were not done.
    pub async fn steps(session: &Session) -> Result<i64> {
        session.value("SELECT last_value FROM steps").await
    }

    /// Lets the clients do this number of steps, or fewer if their connections end; at full speed, or `rate`
    /// steps per second.
    pub async fn run(
        &self,
        server: &Server,
        database: &str,
        steps: i64,
        rate: Option<u32>,
        seed: usize,
    ) -> Result<()> {
        let each = (steps + CLIENTS - 1) / CLIENTS;
        let mut command = server.client("pgbench")?;
        command.args(["--no-vacuum", &format!("--client={CLIENTS}"), &format!("--transactions={each}")]);
        command.args([&format!("--random-seed={seed}"), &format!("--define=keys={KEYS}")]);
        command.args(rate.map(|rate| format!("--rate={rate}")));
        command.args(&self.scripts).arg(database);
        // Clients of several databases may run at the same time.
        let said = self.said.with_extension(database);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let mut running = Running(command.spawn().context("cannot run pgbench")?);
        let status = wait::until_within(SOON * 5, "pgbench ends", async || Ok(running.0.try_wait()?)).await?;
        let said = fs::read_to_string(&said)?;
        let is_error =
            |line: &&str| ["error: ", "fatal: "].iter().any(|word| line.to_lowercase().contains(word));
        let mut errors = said.lines().filter(is_error).peekable();
        let explained = status.success() || errors.peek().is_some();
        let all_expected = errors.all(|error| EXPECTED.iter().any(|expected| error.contains(expected)));
        ensure!(explained && all_expected, "pgbench ended with {status}: {said}");
        Ok(())
    }
}

/// A process that is ended, at the latest, at the end of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

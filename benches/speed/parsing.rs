//! `rag.parse_log` compared with a plain Python parser of the same lines, in turns.

use anyhow::{Context, Result, bail, ensure};
use ragstone_benches::options::Options;
use ragstone_benches::program_file;
use ragstone_benches::report;
use ragstone_benches::timing::median;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const LOGS: [&str; 6] = ["mixed", "json", "logfmt", "python", "langchain", "otlp"];

/// All columns; every column is compared.
const COLUMNS: [&str; 19] = [
    "line",
    "syntax",
    "run",
    "span",
    "parent",
    "kind",
    "name",
    "started",
    "duration_ms",
    "input",
    "output",
    "model",
    "input_tokens",
    "output_tokens",
    "cost",
    "status",
    "error",
    "attributes",
    "raw",
];

/// The log is held in a variable of the server, as it is held in a variable of Python.
const TIMED: &str = "
    CREATE TABLE logs (name text, content text);
    CREATE FUNCTION timed(log text, query text) RETURNS float8 LANGUAGE plpgsql AS $$
    DECLARE content text; began timestamptz; rows bigint;
    BEGIN
      SELECT l.content || '' INTO content FROM logs l WHERE name = log;
      began := clock_timestamp();
      EXECUTE query USING content INTO rows;
      RETURN extract(epoch FROM clock_timestamp() - began);
    END $$";

pub async fn run(options: &Options) -> Result<()> {
    let (lines, rounds) = (options.size(100_000, 2_000), options.size(9, 1));
    report::part(&format!("rag.parse_log beside Python, {lines} lines"));
    let folder = tempfile::tempdir()?;
    let status = Command::new("python3")
        .arg(program_file("make_log.py"))
        .args([&lines.to_string(), "7"])
        .arg(folder.path())
        .status()?;
    ensure!(status.success(), "make_log.py ended with {status}");
    let server =
        Server::start_with(ragstone_tests::server::Options::default().set("work_mem", "256MB")).await?;
    let session = server.session().await?;
    session.batch_execute(TIMED).await?;
    for log in LOGS {
        compare(&session, folder.path(), log, rounds).await?;
    }
    Ok(())
}

async fn compare(session: &Session, folder: &Path, log: &str, rounds: usize) -> Result<()> {
    let path = folder.join(format!("{log}.log"));
    let content = std::fs::read_to_string(&path)?;
    session.execute("INSERT INTO logs VALUES ($1, $2)", &[&log, &content]).await?;
    let mut python = Python::start(&path)?;
    same(session, &content, &python.round()?).await?;
    let counted = "SELECT count(*) FROM rag.parse_log($1)".to_owned();
    let read = format!(
        "SELECT {} FROM rag.parse_log($1)",
        COLUMNS.map(|column| format!("count({column})")).join(" + ")
    );
    let mut seconds = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        seconds[0].push(python.round()?["seconds"].as_f64().context("no seconds")?);
        for (query, seconds) in [&counted, &read].into_iter().zip(&mut seconds[1..]) {
            seconds.push(session.value_of("SELECT timed($1, $2)", &[&log, query]).await?);
        }
    }
    let [plain, counted, read] = seconds.map(|seconds| median(&seconds));
    report::figure(&format!("{log}: Python"), plain * 1e3, "ms");
    report::figure(&format!("{log}: rag.parse_log, rows counted"), counted * 1e3, "ms");
    report::figure(&format!("{log}: rag.parse_log, all columns read"), read * 1e3, "ms");
    report::at_least(&format!("{log}: Python to rag.parse_log, rows counted"), plain / counted, 20.0, "×");
    report::at_least(&format!("{log}: Python to rag.parse_log, all columns read"), plain / read, 20.0, "×");
    Ok(())
}

/// Fails unless both have found the same.
async fn same(session: &Session, content: &str, python: &Value) -> Result<()> {
    let sql =
        "SELECT jsonb_build_object('steps', count(*), 'unknown', count(*) FILTER (WHERE syntax IS NULL),
        'models', count(*) FILTER (WHERE kind = 'model'), 'tools', count(*) FILTER (WHERE kind = 'tool'),
        'errors', count(*) FILTER (WHERE status = 'error'), 'input_tokens', coalesce(sum(input_tokens), 0),
        'inputs', count(input), 'outputs', count(output), 'runs', count(run))::text FROM rag.parse_log($1)";
    let found: Value = serde_json::from_str(&session.value_of::<String>(sql, &[&content]).await?)?;
    for (name, value) in found.as_object().context("no object")? {
        if python[name] != *value {
            bail!("{name}: {value} here, {} in Python", python[name]);
        }
    }
    Ok(())
}

/// The Python program.
struct Python {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn start(path: &Path) -> Result<Self> {
        let mut command = Command::new("python3");
        command.arg(program_file("parse_log.py")).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let input = process.stdin.take().context("no input")?;
        let mut output = BufReader::new(process.stdout.take().context("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(line.trim() == "ready", "parse_log.py did not start");
        Ok(Self { process, input, output })
    }

    fn round(&mut self) -> Result<Value> {
        writeln!(self.input, "go")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

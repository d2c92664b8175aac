//! Python programs that do the same without PostgreSQL. Each is a process that runs a round on request.

use anyhow::{Context, Result, ensure};
use ragstone_tests::harness::NotRun;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Settings of a reference program.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// `loop`, or `fastembed`.
    pub kind: &'a str,
    /// The model's folder.
    pub model: &'a Path,
    /// File with a JSON list of texts.
    pub passages: &'a Path,
    /// Number of threads per run.
    pub threads: usize,
    /// Number of texts per run.
    pub batch: usize,
    /// True if it uses OpenVINO's provider, in bf16.
    pub openvino: bool,
}

/// A running reference program.
#[derive(Debug)]
pub struct Reference {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Reference {
    /// Starts the program and waits until its model is loaded. [`NotRun`] if its packages are missing.
    pub fn start(settings: &Settings) -> Result<Self> {
        let mut command = Command::new(python());
        command.arg(script("reference.py")).arg(settings.kind).arg(settings.model).arg(settings.passages);
        command.args([settings.threads.to_string(), settings.batch.to_string()]);
        if settings.openvino {
            let Some(packages) = std::env::var_os("RAGSTONE_PYTHON_OPENVINO") else {
                let reason = "RAGSTONE_PYTHON_OPENVINO names no folder with the package onnxruntime-openvino";
                return Err(NotRun(reason.to_owned()).into());
            };
            command.env("PYTHONPATH", packages).arg("openvino");
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take().context("no input")?;
        let mut output = BufReader::new(process.stdout.take().context("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        if line.trim() != "ready" {
            let kind = settings.kind;
            return Err(
                NotRun(format!("the Python program {kind} did not start: see its message above")).into()
            );
        }
        Ok(Self { process, input, output })
    }

    /// Runs all passages, and returns the time in seconds.
    pub fn round(&mut self) -> Result<f64> {
        writeln!(self.input, "go")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("the Python program said {line:?}"))
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Writes the seeded model with `seeded_model.py`.
pub(crate) fn write_seeded_model(default: &Path, folder: &Path) -> Result<()> {
    run_script("seeded_model.py", &[default, folder])
}

/// The Python of the benches, or the system's.
pub fn python() -> PathBuf {
    std::env::var_os("RAGSTONE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// Runs a Python program of the benches to completion.
pub(crate) fn run_script(name: &str, arguments: &[&Path]) -> Result<()> {
    let status = Command::new(python()).arg(script(name)).args(arguments).status()?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

/// Path of a Python program of the benches.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name)
}

//! The kernel's information about a process.

use crate::Result;
use crate::wait;
use anyhow::Context;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The system calls in which PostgreSQL waits for a latch.
#[cfg(target_arch = "x86_64")]
const WAITS: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait];
#[cfg(not(target_arch = "x86_64"))]
const WAITS: &[i64] = &[libc::SYS_epoll_pwait];

/// A running process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(pub i32);

impl Process {
    /// The engines that serve the server with this data directory.
    pub fn engines_of(data_directory: &Path) -> Vec<Self> {
        Self::named(data_directory, |program| program.ends_with("ragstone-engine"))
    }

    /// The supervisors of the server with this data directory. They connect to no database, so
    /// `pg_stat_activity` does not show them.
    pub fn supervisors_of(data_directory: &Path) -> Vec<Self> {
        Self::named(data_directory, |program| program.starts_with("postgres: ragstone supervisor"))
    }

    /// All processes of the server with this data directory, including its engine.
    pub fn all_of(data_directory: &Path) -> Vec<Self> {
        Self::named(data_directory, |_| true)
    }

    /// Processes whose working directory is the data directory and whose title matches.
    fn named(data_directory: &Path, fits: impl Fn(&str) -> bool) -> Vec<Self> {
        let Ok(data_directory) = data_directory.canonicalize() else { return Vec::new() };
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Self))
            .filter(|process| process.title().is_some_and(|title| fits(&title)))
            .filter(|process| process.link("cwd").as_deref() == Some(&data_directory))
            .collect()
    }

    /// True if the process runs. A zombie has ended only when all of its threads have, which keep its sockets
    /// open until then.
    pub fn runs(self) -> bool {
        let has_threads = || self.threads().is_ok_and(|threads| threads > 1);
        self.status("State").is_some_and(|state| !state.starts_with('Z') || has_threads())
    }

    /// Sends a signal; it is no error if the process has ended.
    pub fn signal(self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.0), signal);
    }

    /// Stops a PostgreSQL process while it waits for its latch. Elsewhere it may hold a short-lived lock, for
    /// which all other processes would then wait forever.
    pub async fn stop_at_latch(self) -> Result<()> {
        wait::until("the process waits for its latch", async || {
            self.signal(Signal::SIGSTOP);
            wait::until("the process stops", async || {
                Ok(self.status("State").is_some_and(|state| state.starts_with('T')).then_some(()))
            })
            .await?;
            let call = self.read("syscall")?;
            let number = call.split_whitespace().next().and_then(|number| number.parse().ok());
            let waits = number.is_some_and(|number| WAITS.contains(&number));
            if !waits {
                self.signal(Signal::SIGCONT);
            }
            Ok(waits.then_some(()))
        })
        .await
    }

    /// Memory that only this process uses, in bytes.
    pub fn private_bytes(self) -> Result<u64> {
        let text = self.read("smaps_rollup")?;
        let kilobytes: u64 = text
            .lines()
            .filter(|line| line.starts_with("Private_") || line.starts_with("Swap:"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum();
        Ok(kilobytes * 1024)
    }

    /// Memory that belongs to no file and is not shared, in bytes. It excludes the server's buffers, which
    /// count as private if only one process has used them.
    pub fn anonymous_bytes(self) -> Result<u64> {
        self.bytes("RssAnon")
    }

    /// Resident memory of the process, shared or not, in bytes.
    pub fn resident_bytes(self) -> Result<u64> {
        self.bytes("VmRSS")
    }

    fn bytes(self, field: &str) -> Result<u64> {
        let value = self.status(field).with_context(|| format!("no {field}"))?;
        let kilobytes: u64 = value.split_whitespace().next().context("no number")?.parse()?;
        Ok(kilobytes * 1024)
    }

    /// Processor time of all threads of the process, in steps of 10 ms.
    pub fn processor_time(self) -> Result<Duration> {
        let text = self.read("stat")?;
        // The name in parentheses may contain spaces; utime and stime are the 14th and 15th fields, in
        // hundredths of a second.
        let fields = text.rsplit_once(')').context("no name in stat")?.1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Number of threads.
    pub fn threads(self) -> Result<usize> {
        Ok(fs::read_dir(self.path("task"))?.count())
    }

    /// The targets of its open file descriptors.
    pub fn open_files(self) -> Result<Vec<PathBuf>> {
        let descriptors = fs::read_dir(self.path("fd"))?;
        Ok(descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect())
    }

    /// Names of the files that are mapped into it.
    pub fn mapped_files(self) -> Result<String> {
        self.read("maps")
    }

    /// A field of `/proc/PID/status`.
    pub fn status(self, field: &str) -> Option<String> {
        let text = self.read("status").ok()?;
        let line = text.lines().find(|line| line.split(':').next() == Some(field))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }

    /// A field of `/proc/PID/status` of each thread.
    pub fn status_of_threads(self, field: &str) -> Result<Vec<String>> {
        let threads = fs::read_dir(self.path("task"))?.flatten();
        let ids = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(ids.filter_map(|id| Self(id).status(field)).collect())
    }

    fn title(self) -> Option<String> {
        let arguments = fs::read(self.path("cmdline")).ok()?;
        let first = arguments.split(|&byte| byte == 0).next()?;
        Some(String::from_utf8_lossy(first).into_owned())
    }

    fn link(self, name: &str) -> Option<PathBuf> {
        fs::read_link(self.path(name)).ok()
    }

    fn read(self, name: &str) -> Result<String> {
        let path = self.path(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn path(self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.0.to_string()).join(name)
    }
}

//! Runs asynchronous tests. A test may need to run alone, or may find that it cannot run here.

use crate::Result;
use crate::server;
use anyhow::anyhow;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::fmt;
use std::future::Future;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::RwLock;
use std::time::Duration;

/// The reason why a test was not run. Such a test is counted as ignored instead of passed, and the reason is
/// printed.
#[derive(Debug)]
pub struct NotRun(pub String);

impl fmt::Display for NotRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not run: {}", self.0)
    }
}

impl std::error::Error for NotRun {}

/// Time after which a test has failed. The longest test takes two minutes on an idle machine; a test whose
/// condition never becomes true must not hold up the others.
const MAX_TEST_TIME: Duration = Duration::from_secs(15 * 60);

/// How long `RAGSTONE_HOSTILITY` has the attack of a table's owner go on, in seconds; beyond it a test has [`MAX_TEST_TIME`].
pub fn time_of_attack() -> Option<Duration> {
    std::env::var("RAGSTONE_HOSTILITY").ok().and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs)
}

/// Tests that measure a time or a memory hold it alone, all others share it.
static MACHINE: RwLock<()> = RwLock::new(());

/// A test that may run in parallel with others.
pub fn test<F, T>(name: &str, body: F) -> Trial
where
    F: FnOnce() -> T + Send + 'static,
    T: Future<Output = Result<()>>,
{
    Trial::ignorable_test(name, move || {
        let _shared = MACHINE.read();
        outcome(body)
    })
}

/// A test that measures, and therefore runs alone.
pub fn test_alone<F, T>(name: &str, body: F) -> Trial
where
    F: FnOnce() -> T + Send + 'static,
    T: Future<Output = Result<()>>,
{
    let trial = Trial::ignorable_test(name, move || {
        let _alone = MACHINE.write();
        outcome(body)
    });
    trial.with_kind(ALONE)
}

/// The kind of the tests that run alone.
const ALONE: &str = "alone";

fn outcome<F, T>(body: F) -> std::result::Result<Completion, Failed>
where
    F: FnOnce() -> T,
    T: Future<Output = Result<()>>,
{
    server::forget_logs();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = MAX_TEST_TIME + time_of_attack().unwrap_or_default();
    let ended = runtime.block_on(async { tokio::time::timeout(limit, body()).await });
    match ended.unwrap_or_else(|_| Err(anyhow!("it has not ended after {} minutes", limit.as_secs() / 60))) {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast_ref::<NotRun>() {
            Some(NotRun(reason)) => Ok(Completion::ignored_with(reason)),
            None => Err(format!("{}\n{}", report(&error), server::logs()).into()),
        },
    }
}

/// The error with its causes, and the lines of the tests in its backtrace.
fn report(error: &anyhow::Error) -> String {
    let backtrace = error.backtrace().to_string();
    let ours = |line: &&str| ["/it/", "/quality/"].iter().any(|folder| line.contains(folder));
    let places = backtrace.lines().filter(ours).map(str::trim).collect::<Vec<_>>().join("\n");
    format!("{error:#}\n{places}")
}

/// Runs the tests that the command line selects, those that run alone last, and then stops the shared server.
/// More tests than processors run at the same time, because each test waits for other processes part of the
/// time.
pub fn run(mut tests: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    arguments.test_threads.get_or_insert(processors + processors.div_ceil(2));
    tests.sort_by_key(|test| test.kind() == ALONE);
    let conclusion = libtest_mimic::run(&arguments, tests);
    server::clean_up();
    conclusion.exit_code()
}

/// A list of tests from the names of their functions: `tests![one, two; alone: three]`.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)? $(; alone: $($alone:ident),* $(,)?)?) => {{
        let module = module_path!().rsplit("::").next().unwrap_or_default();
        vec![
            $($crate::harness::test(&format!("{module}::{}", stringify!($name)), $name),)*
            $($($crate::harness::test_alone(&format!("{module}::{}", stringify!($alone)), $alone),)*)?
        ]
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, bail};

    #[test]
    fn a_test_that_cannot_be_run_is_ignored_with_its_reason() {
        let outcome = outcome(|| async { Err(NotRun("no data".to_owned())).context("loading") });
        let Ok(Completion::Ignored { reason: Some(reason) }) = outcome else { panic!("not ignored") };
        assert_eq!(reason, "no data");
    }

    #[test]
    fn a_test_that_fails_is_not_ignored() {
        let Err(failed) = outcome(|| async { bail!("wrong") }) else { panic!("not failed") };
        assert!(failed.message().is_some_and(|message| message.starts_with("wrong")));
    }
}

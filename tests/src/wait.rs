//! Waits on conditions.

use crate::Result;
use anyhow::bail;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Maximum time for a condition that should become true soon, before a test fails; it is generous, because
/// machines may be slow.
pub const SOON: Duration = Duration::from_secs(60);

/// Time between two checks of a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Maximum duration of a test that depends on the current hour, day, week or month.
const TEST: Duration = Duration::from_secs(30);

/// Number of attempts for a measurement that has a time limit.
const ATTEMPTS: usize = 5;

const HOUR: Duration = Duration::from_secs(3600);

/// Waits for the next hour in UTC if the current hour ends so soon that a test could start in one hour, day,
/// week or month, and end in another.
pub async fn for_one_period() -> Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let left = HOUR - Duration::from_secs(since.as_secs() % HOUR.as_secs());
    if left < TEST {
        // A logged step began some milliseconds before.
        tokio::time::sleep(left + Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Checks that `attempt` takes less than `limit` on an otherwise idle machine: the fastest of [`ATTEMPTS`]
/// counts, because other programs delay some of them.
pub async fn at_best_within(
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> Result<Duration>,
) -> Result<()> {
    let mut times = Vec::new();
    while times.len() < ATTEMPTS {
        let time = attempt().await?;
        if time < limit {
            return Ok(());
        }
        times.push(time);
    }
    bail!("it took {times:?} instead of less than {limit:?}")
}

/// Waits until `condition` returns a value, for at most [`SOON`].
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(SOON, what, condition).await
}

/// Waits until `condition` returns a value, for at most `limit`.
pub async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

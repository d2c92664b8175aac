//! Waits on conditions.

use crate::Result;
use anyhow::bail;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a condition that should come soon may take, before a test gives up; generous, as machines may be slow.
pub const SOON: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// A test that is about an hour, a day, a week or a month takes less than this.
const TEST: Duration = Duration::from_secs(30);

/// How often something is timed that has to be quick.
const ATTEMPTS: usize = 5;

const HOUR: Duration = Duration::from_secs(3600);

/// Waits for the next hour in UTC, where the present one ends so soon that a test could begin in one hour, day, week or month, and
/// end in another.
pub async fn for_one_period() -> Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let left = HOUR - Duration::from_secs(since.as_secs() % HOUR.as_secs());
    if left < TEST {
        // A step that is logged began some milliseconds ago.
        tokio::time::sleep(left + Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Checks that what `attempt` times takes less than `limit` on a machine that has nothing else to do: the quickest of
/// [`ATTEMPTS`] counts, since other programs delay some of them.
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

/// Waits until `condition` gives a value, for [`SOON`] at most.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(SOON, what, condition).await
}

/// Waits until `condition` gives a value, for `limit` at most.
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

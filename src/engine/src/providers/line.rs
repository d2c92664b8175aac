//! Who may call a provider now: so many at once, and so many calls and tokens a minute, of all sessions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ragstone_core::provider::{Limits, Target};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::scheduler::registry::lock;

/// The lines of all providers, by database and server.
#[derive(Default)]
pub struct Lines {
    lines: Mutex<HashMap<(u32, u32), Arc<Line>>>,
}

impl Lines {
    /// The line of this provider.
    pub fn of(&self, target: &Target) -> Arc<Line> {
        lock(&self.lines).entry((target.database, target.server)).or_default().clone()
    }
}

/// Those who wait for a provider, first come, first served.
pub struct Line {
    places: Arc<Semaphore>,
    limit: Mutex<u32>,
    /// Held by whoever waits for a bucket to fill, so that nobody overtakes him.
    first: tokio::sync::Mutex<()>,
    requests: Mutex<Bucket>,
    tokens: Mutex<Bucket>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(0)),
            limit: Mutex::default(),
            first: tokio::sync::Mutex::default(),
            requests: Mutex::new(Bucket::new(Instant::now())),
            tokens: Mutex::new(Bucket::new(Instant::now())),
        }
    }
}

/// A call that would have to wait beyond its deadline.
#[derive(Debug, PartialEq)]
pub struct TooLate {
    /// What is used up.
    pub what: &'static str,
    /// How much of it there is in a minute.
    pub per_minute: u32,
    /// How long the wait would be.
    pub wait: Duration,
}

impl Line {
    /// Waits for a turn of about so many tokens.
    ///
    /// # Errors
    /// It would not come before the deadline.
    pub async fn turn(
        self: &Arc<Self>,
        limits: &Limits,
        tokens: u64,
        deadline: Instant,
    ) -> Result<Turn, TooLate> {
        self.resize(limits.concurrency.max(1));
        // The semaphore is never closed.
        let place = self.places.clone().acquire_owned().await.ok();
        let _first = self.first.lock().await;
        if let Some(per_minute) = limits.requests_per_minute {
            take(&self.requests, "requests", per_minute, 1, deadline).await?;
        }
        if let Some(per_minute) = limits.tokens_per_minute {
            take(&self.tokens, "tokens", per_minute, tokens, deadline).await?;
        }
        Ok(Turn { _place: place, line: self.clone(), tokens })
    }

    /// Follows the limit of the call that comes. Places that are taken away leave when they become free.
    fn resize(&self, limit: u32) {
        let mut now = lock(&self.limit);
        if limit > *now {
            self.places.add_permits((limit - *now) as usize);
        } else if limit < *now {
            let surplus = *now - limit;
            let left = surplus - self.places.forget_permits(surplus as usize) as u32;
            let places = self.places.clone();
            if left > 0 {
                tokio::spawn(async move {
                    if let Ok(place) = places.acquire_many_owned(left).await {
                        place.forget();
                    }
                });
            }
        }
        *now = limit;
    }
}

/// The right to make one request, until it is dropped.
pub struct Turn {
    _place: Option<OwnedSemaphorePermit>,
    line: Arc<Line>,
    tokens: u64,
}

impl Turn {
    /// Tells how many tokens the request really took.
    pub fn took(&self, tokens: u64) {
        lock(&self.line.tokens).correct(self.tokens as f64 - tokens as f64);
    }
}

async fn take(
    bucket: &Mutex<Bucket>,
    what: &'static str,
    per_minute: u32,
    amount: u64,
    deadline: Instant,
) -> Result<(), TooLate> {
    loop {
        let now = Instant::now();
        let taken = lock(bucket).take(now, f64::from(per_minute), amount as f64);
        match taken {
            Ok(()) => return Ok(()),
            Err(wait) if now + wait > deadline => return Err(TooLate { what, per_minute, wait }),
            Err(wait) => tokio::time::sleep(wait).await,
        }
    }
}

/// A token bucket that holds a minute's worth. What is taken can be corrected afterwards, down to a debt.
#[derive(Debug)]
struct Bucket {
    /// `None` before it is used: it begins full.
    level: Option<f64>,
    at: Instant,
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { level: None, at: now }
    }

    /// Takes an amount, or says when it will be there. More than a minute's worth takes all of it.
    fn take(&mut self, now: Instant, per_minute: f64, amount: f64) -> Result<(), Duration> {
        let capacity = per_minute.max(1.0);
        let amount = amount.min(capacity);
        let gained = now.duration_since(self.at).as_secs_f64() / 60.0 * capacity;
        // Nobody waits for more than two minutes, whatever a provider says that a call took.
        let level = self.level.map_or(capacity, |level| (level + gained).clamp(-capacity, capacity));
        self.at = now;
        // Sums of rounded numbers: a millionth less is enough.
        if level + 1e-6 >= amount {
            self.level = Some(level - amount);
            return Ok(());
        }
        self.level = Some(level);
        Err(Duration::from_secs_f64((amount - level) / capacity * 60.0) + Duration::from_millis(1))
    }

    fn correct(&mut self, amount: f64) {
        self.level = self.level.map(|level| level + amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        connect_timeout_ms: 1000,
        timeout_ms: 1000,
        retries: 0,
        concurrency: 2,
        requests_per_minute: None,
        tokens_per_minute: None,
        max_reply_bytes: 1 << 20,
    };

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_bucket_begins_full_and_fills_evenly() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(begin);
        assert!((0..60).all(|_| bucket.take(begin, 60.0, 1.0).is_ok()));
        let wait = bucket.take(begin, 60.0, 1.0).unwrap_err();
        assert!((1000..1003).contains(&wait.as_millis()), "{wait:?}");
        assert!(bucket.take(begin + Duration::from_secs(1), 60.0, 1.0).is_ok());
        assert!(bucket.take(begin + Duration::from_secs(1), 60.0, 1.0).is_err());
    }

    #[test]
    fn what_was_taken_too_much_comes_back_and_debts_are_paid() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(begin);
        bucket.take(begin, 100.0, 500.0).unwrap();
        bucket.correct(60.0);
        bucket.take(begin, 100.0, 60.0).unwrap();
        bucket.correct(-50.0);
        let wait = bucket.take(begin, 100.0, 50.0).unwrap_err();
        assert_eq!(wait.as_secs(), 60);
        bucket.correct(-1e30);
        assert_eq!(bucket.take(begin, 100.0, 50.0).unwrap_err().as_secs(), 90);
    }

    #[test]
    fn places_follow_the_limit() {
        run(async {
            let line = Arc::new(Line::default());
            let (one, two) = (line.turn(&LIMITS, 0, later()).await, line.turn(&LIMITS, 0, later()).await);
            assert_eq!(line.places.available_permits(), 0);
            let narrow = Limits { concurrency: 1, ..LIMITS };
            let mut third = Box::pin(line.turn(&narrow, 0, later()));
            assert!(futures_util::poll!(&mut third).is_pending());
            tokio::task::yield_now().await;
            drop(one);
            let third = third.await;
            let mut fourth = Box::pin(line.turn(&narrow, 0, later()));
            assert!(futures_util::poll!(&mut fourth).is_pending());
            drop(two);
            tokio::task::yield_now().await;
            assert!(futures_util::poll!(&mut fourth).is_pending(), "a place that was taken away is given up");
            drop(third);
            assert!(fourth.await.is_ok());
            let wide = Limits { concurrency: 3, ..LIMITS };
            let all = [line.turn(&wide, 0, later()).await, line.turn(&wide, 0, later()).await];
            assert!(all.iter().all(Result::is_ok));
        });
    }

    #[test]
    fn a_turn_beyond_the_deadline_is_refused_at_once() {
        run(async {
            let line = Arc::new(Line::default());
            let limits = Limits { requests_per_minute: Some(1), ..LIMITS };
            line.turn(&limits, 0, later()).await.map(drop).unwrap();
            let late = line.turn(&limits, 0, later()).await.map(drop).unwrap_err();
            assert_eq!((late.what, late.per_minute), ("requests", 1));
            assert!((59..=60).contains(&late.wait.as_secs()), "{late:?}");
        });
    }
}

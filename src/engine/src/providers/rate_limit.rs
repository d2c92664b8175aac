//! Limits on the calls to one provider, over all sessions: concurrent calls, and requests and tokens a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use ragstone_core::{
    protocol::Caller,
    provider::{Limits, Target},
};
use tokio::time::Instant;

use crate::{
    lock::lock,
    scheduler::{
        fair_queue::Client,
        turns::{Turn, Turns},
    },
};

/// The rate limiters of all providers, by database and server.
#[derive(Default)]
pub struct RateLimiters {
    limiters: Mutex<HashMap<(u32, u32), Arc<RateLimiter>>>,
}

impl RateLimiters {
    /// The rate limiter of this provider.
    pub fn get(&self, target: &Target) -> Arc<RateLimiter> {
        lock(&self.limiters).entry((target.database, target.server)).or_default().clone()
    }
}

/// Grants permits to call one provider, by turns of roles that have equal shares of its time and of which none has more than half of
/// the permits at a time; in a role first come, first served.
pub struct RateLimiter {
    turns: Arc<Turns>,
    /// Held by the caller that waits for a bucket to fill, so that no later caller overtakes it.
    queue_head: tokio::sync::Mutex<()>,
    requests: Mutex<TokenBucket>,
    tokens: Mutex<TokenBucket>,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self {
            turns: Turns::new(0),
            queue_head: tokio::sync::Mutex::default(),
            requests: Mutex::new(TokenBucket::new(Instant::now())),
            tokens: Mutex::new(TokenBucket::new(Instant::now())),
        }
    }
}

/// A call would have to wait beyond its deadline.
#[derive(Debug, PartialEq)]
pub struct RateLimitExceeded {
    /// The limit that is used up: `requests` or `tokens`.
    pub what: &'static str,
    /// The limit.
    pub per_minute: u32,
    /// How long the wait would be.
    pub wait: Duration,
}

impl RateLimiter {
    /// Waits for a permit for one request that takes about `tokens` tokens.
    ///
    /// # Errors
    /// The permit would come after the deadline.
    pub async fn acquire(
        self: &Arc<Self>,
        caller: Caller,
        limits: &Limits,
        tokens: u64,
        deadline: impl Fn() -> Instant,
    ) -> Result<Permit, RateLimitExceeded> {
        // The newest call sets the limit.
        self.turns.set_count(limits.concurrency.max(1) as usize);
        let turn = self.turns.take(Client { caller, connection: 0 }).await;
        let _head = self.queue_head.lock().await;
        let deadline = deadline();
        if let Some(per_minute) = limits.requests_per_minute {
            take(&self.requests, "requests", per_minute, 1, deadline).await?;
        }
        if let Some(per_minute) = limits.tokens_per_minute {
            take(&self.tokens, "tokens", per_minute, tokens, deadline).await?;
        }
        Ok(Permit { _turn: turn, limiter: self.clone(), tokens })
    }
}

/// The right to have one request in progress, until it is dropped.
pub struct Permit {
    _turn: Turn,
    limiter: Arc<RateLimiter>,
    tokens: u64,
}

impl Permit {
    /// Replaces the estimate by the tokens that the request took.
    pub fn record_tokens(&self, tokens: u64) {
        lock(&self.limiter.tokens).refund(self.tokens as f64 - tokens as f64);
    }
}

async fn take(
    bucket: &Mutex<TokenBucket>,
    what: &'static str,
    per_minute: u32,
    amount: u64,
    deadline: Instant,
) -> Result<(), RateLimitExceeded> {
    loop {
        let now = Instant::now();
        let taken = lock(bucket).take(now, f64::from(per_minute), amount as f64);
        match taken {
            Ok(()) => return Ok(()),
            Err(wait) if now + wait > deadline => return Err(RateLimitExceeded { what, per_minute, wait }),
            Err(wait) => tokio::time::sleep(wait).await,
        }
    }
}

/// A token bucket with the capacity of one minute. An amount can be corrected after it was taken, and the level may become
/// negative.
#[derive(Debug)]
struct TokenBucket {
    /// `None` until the first use: a bucket starts full.
    level: Option<f64>,
    updated: Instant,
}

impl TokenBucket {
    fn new(now: Instant) -> Self {
        Self { level: None, updated: now }
    }

    /// Takes an amount, or returns how long to wait for it. An amount above the capacity takes the whole capacity.
    fn take(&mut self, now: Instant, per_minute: f64, amount: f64) -> Result<(), Duration> {
        let capacity = per_minute.max(1.0);
        let amount = amount.min(capacity);
        let gained = now.duration_since(self.updated).as_secs_f64() / 60.0 * capacity;
        // The lower bound limits the wait to two minutes, even if a provider reports a huge number of tokens for a call.
        let level = self.level.map_or(capacity, |level| (level + gained).clamp(-capacity, capacity));
        self.updated = now;
        // Tolerates the rounding of the sums.
        if level + 1e-6 >= amount {
            self.level = Some(level - amount);
            return Ok(());
        }
        self.level = Some(level);
        Err(Duration::from_secs_f64((amount - level) / capacity * 60.0) + Duration::from_millis(1))
    }

    /// Gives an amount back; a negative one takes more.
    fn refund(&mut self, amount: f64) {
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
        max_texts: 96,
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
        let mut bucket = TokenBucket::new(begin);
        assert!((0..60).all(|_| bucket.take(begin, 60.0, 1.0).is_ok()));
        let wait = bucket.take(begin, 60.0, 1.0).unwrap_err();
        assert!((1000..1003).contains(&wait.as_millis()), "{wait:?}");
        assert!(bucket.take(begin + Duration::from_secs(1), 60.0, 1.0).is_ok());
        assert!(bucket.take(begin + Duration::from_secs(1), 60.0, 1.0).is_err());
    }

    #[test]
    fn a_refund_raises_the_level_and_a_debt_lowers_it() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::new(begin);
        bucket.take(begin, 100.0, 500.0).unwrap();
        bucket.refund(60.0);
        bucket.take(begin, 100.0, 60.0).unwrap();
        bucket.refund(-50.0);
        let wait = bucket.take(begin, 100.0, 50.0).unwrap_err();
        assert_eq!(wait.as_secs(), 60);
        bucket.refund(-1e30);
        assert_eq!(bucket.take(begin, 100.0, 50.0).unwrap_err().as_secs(), 90);
    }

    const CALLER: Caller = Caller { database: 5, role: 10 };

    #[test]
    fn concurrency_follows_the_limit() {
        run(async {
            let limiter = Arc::new(RateLimiter::default());
            let permit = async |role, limits: &Limits| {
                limiter.acquire(Caller { role, ..CALLER }, limits, 0, later).await.unwrap()
            };
            let (one, two) = (permit(1, &LIMITS).await, permit(2, &LIMITS).await);
            let narrow = Limits { concurrency: 1, ..LIMITS };
            let mut third = Box::pin(permit(3, &narrow));
            drop(one);
            assert!(
                futures_util::poll!(&mut third).is_pending(),
                "a permit in use counts until it is released"
            );
            drop(two);
            let third = third.await;
            let mut fourth = Box::pin(permit(4, &narrow));
            assert!(futures_util::poll!(&mut fourth).is_pending());
            drop(third);
            drop(fourth.await);
            let wide = Limits { concurrency: 3, ..LIMITS };
            let _all = [permit(1, &wide).await, permit(1, &wide).await, permit(2, &wide).await];
        });
    }

    #[test]
    fn slow_calls_of_a_role_leave_half_of_the_places_to_others() {
        run(async {
            let limiter = Arc::new(RateLimiter::default());
            let limits = Limits { concurrency: 8, ..LIMITS };
            let permit =
                async |role| limiter.acquire(Caller { role, ..CALLER }, &limits, 0, later).await.unwrap();
            let mut slow: Vec<_> = (0..8).map(|_| Box::pin(permit(10))).collect();
            let mut held = Vec::new();
            for call in &mut slow {
                if let std::task::Poll::Ready(permit) = futures_util::poll!(call) {
                    held.push(permit);
                }
            }
            assert_eq!(held.len(), 4);
            let _others = [permit(11).await, permit(11).await, permit(12).await, permit(13).await];
        });
    }

    #[test]
    fn a_permit_beyond_the_deadline_is_refused_at_once() {
        run(async {
            let limiter = Arc::new(RateLimiter::default());
            let limits = Limits { requests_per_minute: Some(1), ..LIMITS };
            limiter.acquire(CALLER, &limits, 0, later).await.map(drop).unwrap();
            let late = limiter.acquire(CALLER, &limits, 0, later).await.map(drop).unwrap_err();
            assert_eq!((late.what, late.per_minute), ("requests", 1));
            assert!((59..=60).contains(&late.wait.as_secs()), "{late:?}");
        });
    }
}

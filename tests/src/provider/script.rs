//! Scripts that a test can change while it runs, and replies that are held back.

use super::{Gate, Reply, Seen};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Decide = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// The provider's reply to each request; the test can change it at any time.
#[derive(Clone)]
pub struct Script(Arc<Mutex<Decide>>);

impl Script {
    /// A script that starts with this function.
    pub fn new(decide: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(decide))))
    }

    /// Changes the function for later requests.
    pub fn set(&self, decide: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(decide);
    }

    /// The reply that follows the script.
    pub fn reply(&self) -> Reply {
        let script = self.clone();
        Reply::by(move |seen| {
            let decide = script.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            decide(seen)
        })
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Script")
    }
}

/// Counts requests.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

impl Counter {
    /// Number of requests so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Replies that are held back by a gate, and a counter of the requests for them.
pub fn gated<F: Fn(&Seen) -> Reply + Send + Sync + 'static>(
    gate: &Gate,
    decide: F,
) -> (impl Fn(&Seen) -> Reply + Send + Sync + 'static + use<F>, Counter) {
    let (gate, come) = (gate.clone(), Counter::default());
    let counter = come.clone();
    let reply = move |seen: &Seen| {
        counter.0.fetch_add(1, Ordering::SeqCst);
        decide(seen).behind(&gate)
    };
    (reply, come)
}

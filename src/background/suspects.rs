//! Rows whose texts may be the reason why their provider fails. A service that is down and a service that
//! fails because of a text return the same error, such as 500. Therefore a row is charged if the provider
//! fails at it alone while it processes others.

use crate::collections::catalog::keys::Key;
use std::collections::HashMap;
use std::time::Duration;

/// Additional delay after a pause before a suspected row is tried, so that others are tried first.
pub const AFTER_OTHERS: Duration = Duration::from_millis(100);

/// Maximum number of suspected rows, including rows that have been deleted since.
const MAX_SUSPECTS: usize = 10_000;

/// The failures and successes of providers that decide which rows are charged.
#[derive(Default)]
pub struct Suspects {
    /// Number of batches that each model, by its name, has processed.
    answers: HashMap<String, u64>,
    /// For each row at which its provider has failed, alone or with others: the model's number of processed
    /// batches at the last failure.
    failed: HashMap<(i64, Key), u64>,
}

impl Suspects {
    /// Counts a batch that a model has processed.
    pub fn answered(&mut self, model: &str) {
        *self.answers.entry(model.to_owned()).or_insert(0) += 1;
    }

    /// Forgets rows that were written.
    pub fn forget<'k>(&mut self, collection: i64, keys: impl Iterator<Item = &'k Key>) {
        if self.failed.is_empty() {
            return;
        }
        for key in keys {
            self.failed.remove(&(collection, key.clone()));
        }
    }

    /// Records that the provider has failed at a batch of these rows. Returns true if the batch is a single
    /// row that is to be charged: the model has processed other batches since the provider last failed at it.
    pub fn failed<'k>(
        &mut self,
        collection: i64,
        model: &str,
        keys: impl ExactSizeIterator<Item = &'k Key>,
    ) -> bool {
        if self.failed.len() >= MAX_SUSPECTS {
            self.failed.clear();
        }
        let answers = self.answers.get(model).copied().unwrap_or(0);
        let is_alone = keys.len() == 1;
        let mut is_to_blame = false;
        for key in keys {
            let before = self.failed.insert((collection, key.clone()), answers);
            is_to_blame = is_alone && before.is_some_and(|before| before < answers);
        }
        is_to_blame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_to_blame_if_others_are_answered_meanwhile() {
        let mut suspects = Suspects::default();
        let [bad, good] = ["bad", "good"].map(|key| vec![key.to_owned()]);
        assert!(!suspects.failed(1, "m", [&bad].into_iter()));
        assert!(!suspects.failed(1, "m", [&bad].into_iter()));
        suspects.answered("other");
        assert!(!suspects.failed(1, "m", [&bad].into_iter()));
        suspects.answered("m");
        assert!(!suspects.failed(1, "m", [&bad, &good].into_iter()));
        assert!(!suspects.failed(1, "m", [&bad].into_iter()));
        suspects.answered("m");
        assert!(suspects.failed(1, "m", [&bad].into_iter()));
        assert!(!suspects.failed(1, "m", [&bad].into_iter()));
        suspects.answered("m");
        suspects.forget(1, [&bad].into_iter());
        assert!(!suspects.failed(1, "m", [&bad].into_iter()));
    }
}

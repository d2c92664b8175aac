//! What budgets have left. They are counted here and not in a table, since a transaction does not see what others, or in
//! REPEATABLE READ it itself, have spent since it began.

use std::collections::HashMap;

use ragstone_core::{
    failure::FailureKind,
    provider::{Budget, Spent, Usage},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::failure::Error;

/// Sums of costs are exact to so much of a maximum.
const ROUNDING: f64 = 1e-9;

/// The budgets of all databases in their periods that are now.
#[derive(Default)]
pub struct Budgets {
    counters: HashMap<Key, Counter>,
}

/// A budget whose row has become one of other calls has another label, and begins anew with what is on record of those.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    database: u32,
    id: i64,
    label: String,
    period: (i64, i64),
}

#[derive(Default)]
struct Counter {
    /// What calls before this engine's life have taken.
    before: Spent,
    /// What calls of this engine's life have taken.
    since: Spent,
    /// What calls under way may take.
    reserved: Spent,
}

/// A call's place in its budgets. To be given back by [`Budgets::settle`].
pub struct Reservation {
    keys: Vec<Key>,
    estimate: Spent,
}

impl Budgets {
    /// Takes an estimate from all of the budgets, or from none.
    ///
    /// # Errors
    /// [`FailureKind::BudgetSpent`] where one of them has no room.
    pub fn reserve(
        &mut self,
        database: u32,
        budgets: &[Budget],
        estimate: Spent,
        now_s: i64,
    ) -> Result<Reservation, Error> {
        let estimate = Spent { calls: 1, ..estimate };
        let keys: Vec<_> = budgets.iter().map(|budget| Key::of(database, budget)).collect();
        for (key, budget) in keys.iter().zip(budgets) {
            self.counter(key, now_s).learn(budget.recorded);
        }
        for (key, budget) in keys.iter().zip(budgets) {
            self.counter(key, now_s).check(budget, estimate)?;
        }
        for key in &keys {
            self.counter(key, now_s).reserved.add(estimate);
        }
        Ok(Reservation { keys, estimate })
    }

    /// Puts what a call took in the place of its estimate.
    pub fn settle(&mut self, reservation: Reservation, usage: &Usage) {
        let taken = Spent { cost: usage.cost, tokens: usage.input_tokens + usage.output_tokens, calls: 1 };
        for key in &reservation.keys {
            if let Some(counter) = self.counters.get_mut(key) {
                counter.reserved.subtract(reservation.estimate);
                counter.since.add(taken);
            }
        }
    }

    /// Periods that are counted.
    #[cfg(test)]
    pub fn periods(&self) -> usize {
        self.counters.len()
    }

    fn counter(&mut self, key: &Key, now_s: i64) -> &mut Counter {
        if !self.counters.contains_key(key) {
            self.counters.retain(|key, counter| key.period.1 > now_s || counter.reserved.calls > 0);
        }
        self.counters.entry(key.clone()).or_default()
    }
}

impl Key {
    fn of(database: u32, budget: &Budget) -> Self {
        let period = (budget.period_start, budget.period_end);
        Self { database, id: budget.id, label: budget.label.clone(), period }
    }
}

impl Counter {
    /// What is on record was taken for certain; what is known here may not be on record yet.
    fn learn(&mut self, recorded: Spent) {
        self.before.cost = self.before.cost.max(recorded.cost - self.since.cost);
        self.before.tokens = self.before.tokens.max(recorded.tokens.saturating_sub(self.since.tokens));
        self.before.calls = self.before.calls.max(recorded.calls.saturating_sub(self.since.calls));
    }

    fn check(&self, budget: &Budget, estimate: Spent) -> Result<(), Error> {
        let taken = self.before.plus(self.since);
        let asked = taken.plus(self.reserved).plus(estimate);
        let refuse = |taken: String, maximum: String, more: String, reserved: String| {
            let detail = format!(
                "The call may take {more} more, and calls under way {reserved}. The period ends at {}.",
                instant(budget.period_end)
            );
            Err(spent(&budget.label, &taken, &maximum, detail))
        };
        if let Some(most) = budget.max_cost.filter(|most| asked.cost > most * (1.0 + ROUNDING)) {
            let [taken, estimate, reserved] = [taken, estimate, self.reserved].map(|spent| money(spent.cost));
            return refuse(taken, money(most), estimate, reserved);
        }
        if let Some(most) = budget.max_tokens.filter(|most| asked.tokens > *most) {
            let [taken, estimate, reserved] =
                [taken, estimate, self.reserved].map(|spent| spent.tokens.to_string());
            return refuse(taken, format!("{most} tokens"), estimate, reserved);
        }
        if let Some(most) = budget.max_calls.filter(|most| asked.calls > *most) {
            let [taken, estimate, reserved] =
                [taken, estimate, self.reserved].map(|spent| spent.calls.to_string());
            return refuse(taken, format!("{most} calls"), estimate, reserved);
        }
        Ok(())
    }
}

fn spent(label: &str, taken: &str, maximum: &str, detail: String) -> Error {
    Error::Provider {
        kind: FailureKind::BudgetSpent,
        message: format!("budget {label} is spent: {taken} of {maximum}"),
        detail,
        hint: "Wait for the next period, or ask an administrator to raise the maximum in rag.budgets.".into(),
    }
}

/// At least two decimals, and as many more as a small price needs.
fn money(cost: f64) -> String {
    let text = format!("{cost:.6}");
    let digits = text.trim_end_matches('0');
    let decimals = digits.len().saturating_sub(digits.find('.').map_or(0, |point| point + 1));
    if decimals < 2 { format!("{cost:.2}") } else { digits.to_owned() }
}

fn instant(seconds: i64) -> String {
    let instant = OffsetDateTime::from_unix_timestamp(seconds).ok();
    instant.and_then(|instant| instant.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds} s"))
}

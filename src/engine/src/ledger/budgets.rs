//! The state of budgets. The engine keeps it, not a table, because a transaction does not see what concurrent
//! transactions have spent. In REPEATABLE READ it does not even see the records of its own calls, which a worker writes
//! in another transaction.

use std::collections::HashMap;

use ragstone_core::{
    failure::FailureKind,
    provider::{Account, Budget, Spent, Usage},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::failure::Error;

/// Relative rounding error of a sum of costs that is tolerated.
const COST_TOLERANCE: f64 = 1e-9;

/// The budgets of all databases, in their current periods.
#[derive(Default)]
pub struct Budgets {
    counters: HashMap<BudgetKey, BudgetCounter>,
}

/// The label is part of the key: a budget whose row was changed to cover other calls starts again from the recorded
/// spending of those calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct BudgetKey {
    database: u32,
    id: i64,
    label: String,
    period: (i64, i64),
}

#[derive(Default)]
struct BudgetCounter {
    /// Spent by calls before the engine started.
    before: Spent,
    /// Spent by calls since then.
    since: Spent,
    /// Estimates of the calls in progress, by role. A role stays in the map after its first call, also in the next period.
    reserved: HashMap<u32, Spent>,
}

/// A call's estimate in its budgets, until [`Budgets::settle`] replaces it.
pub struct Reservation {
    keys: Vec<BudgetKey>,
    role: u32,
    estimate: Spent,
}

impl Budgets {
    /// Reserves the estimate of a role's call in all of its budgets, or in none.
    ///
    /// # Errors
    /// [`FailureKind::BudgetSpent`] if one of them has no room.
    pub fn reserve(
        &mut self,
        database: u32,
        account: &Account,
        estimate: Spent,
        now_s: i64,
    ) -> Result<Reservation, Error> {
        let (role, budgets) = (account.role, &account.budgets);
        let estimate = Spent { calls: 1, ..estimate };
        let keys: Vec<_> = budgets.iter().map(|budget| BudgetKey::new(database, budget)).collect();
        for (key, budget) in keys.iter().zip(budgets) {
            let counter = self.counter(key, now_s);
            counter.include_recorded(budget.recorded);
            counter.reserved.entry(role).or_default();
        }
        for (key, budget) in keys.iter().zip(budgets) {
            let counter = self.counter(key, now_s);
            counter.check(budget, estimate)?;
            counter.check_share(budget, role, estimate)?;
        }
        for key in &keys {
            self.counter(key, now_s).reserved.entry(role).or_default().add(estimate);
        }
        Ok(Reservation { keys, role, estimate })
    }

    /// Replaces the estimate of a call by what it spent.
    pub fn settle(&mut self, reservation: Reservation, usage: &Usage) {
        let spent = Spent { cost: usage.cost, tokens: usage.input_tokens + usage.output_tokens, calls: 1 };
        for key in &reservation.keys {
            if let Some(counter) = self.counters.get_mut(key) {
                counter.reserved.entry(reservation.role).or_default().subtract(reservation.estimate);
                counter.since.add(spent);
            }
        }
    }

    /// Number of counters.
    #[cfg(test)]
    pub fn periods(&self) -> usize {
        self.counters.len()
    }

    fn counter(&mut self, key: &BudgetKey, now_s: i64) -> &mut BudgetCounter {
        if !self.counters.contains_key(key) {
            let roles = self.counters.iter().filter(|(other, _)| other.is_same_budget(key));
            let reserved = roles.flat_map(|(_, counter)| counter.reserved.keys());
            let reserved = reserved.map(|role| (*role, Spent::default())).collect();
            self.counters.insert(key.clone(), BudgetCounter { reserved, ..BudgetCounter::default() });
            self.counters.retain(|key, counter| key.period.1 > now_s || counter.reserved().calls > 0);
        }
        self.counters.entry(key.clone()).or_default()
    }
}

impl BudgetKey {
    fn new(database: u32, budget: &Budget) -> Self {
        let period = (budget.period_start, budget.period_end);
        Self { database, id: budget.id, label: budget.label.clone(), period }
    }

    /// True if the other key is of the same budget, in any period.
    fn is_same_budget(&self, other: &Self) -> bool {
        self.database == other.database && self.id == other.id && self.label == other.label
    }
}

impl BudgetCounter {
    /// Raises the counter to the recorded spending, which may include calls from before the engine started, and may
    /// lack calls that are already counted here.
    fn include_recorded(&mut self, recorded: Spent) {
        self.before.cost = self.before.cost.max(recorded.cost - self.since.cost);
        self.before.tokens = self.before.tokens.max(recorded.tokens.saturating_sub(self.since.tokens));
        self.before.calls = self.before.calls.max(recorded.calls.saturating_sub(self.since.calls));
    }

    fn check(&self, budget: &Budget, estimate: Spent) -> Result<(), Error> {
        let taken = self.before.plus(self.since);
        let reserved = self.reserved();
        let asked = taken.plus(reserved).plus(estimate);
        let refuse = |taken: String, maximum: String, more: String, reserved: String| {
            let detail = format!(
                "The call may take up to {more} more, and calls in progress up to {reserved}. The period ends at {}.",
                format_time(budget.period_end)
            );
            Err(budget_spent(budget, &taken, &maximum, detail))
        };
        if let Some(maximum) = budget.max_cost.filter(|maximum| asked.cost > maximum * (1.0 + COST_TOLERANCE))
        {
            let [taken, estimate, reserved] =
                [taken, estimate, reserved].map(|spent| format_cost(spent.cost));
            return refuse(taken, format_cost(maximum), estimate, reserved);
        }
        if let Some(maximum) = budget.max_tokens.filter(|maximum| asked.tokens > *maximum) {
            let [taken, estimate, reserved] =
                [taken, estimate, reserved].map(|spent| spent.tokens.to_string());
            return refuse(taken, format!("{maximum} tokens"), estimate, reserved);
        }
        if let Some(maximum) = budget.max_calls.filter(|maximum| asked.calls > *maximum) {
            let [taken, estimate, reserved] =
                [taken, estimate, reserved].map(|spent| spent.calls.to_string());
            return refuse(taken, format!("{maximum} calls"), estimate, reserved);
        }
        Ok(())
    }

    /// If several roles share the budget, checks that the calls in progress of one role reserve no more than half of
    /// what is left, so that slow calls with large estimates do not keep the other roles from calling.
    fn check_share(&self, budget: &Budget, role: u32, estimate: Spent) -> Result<(), Error> {
        if self.reserved.len() < 2 {
            return Ok(());
        }
        let taken = self.before.plus(self.since);
        let own = self.reserved.get(&role).copied().unwrap_or_default().plus(estimate);
        let exceeds = |own: f64, left: f64| own > left / 2.0 * (1.0 + COST_TOLERANCE);
        let refuse = |asked: String, left: String| Error::Provider {
            kind: FailureKind::BudgetSpent(budget.id),
            message: format!("budget {} allows no more concurrent calls of this role", budget.label),
            detail: format!(
                "Other roles share the budget, so the calls in progress of one role may take at most half of the {left} left; with this call they may take {asked}."
            ),
            hint: "Wait until they have ended, or ask for shorter answers (max_tokens).".into(),
        };
        if let Some(maximum) = budget.max_cost.filter(|maximum| exceeds(own.cost, maximum - taken.cost)) {
            return Err(refuse(format_cost(own.cost), format_cost(maximum - taken.cost)));
        }
        let left = |maximum: u64, taken: u64| maximum.saturating_sub(taken);
        if let Some(maximum) = budget.max_tokens
            && exceeds(own.tokens as f64, left(maximum, taken.tokens) as f64)
        {
            let left = left(maximum, taken.tokens);
            return Err(refuse(format!("{} tokens", own.tokens), format!("{left} tokens")));
        }
        if let Some(maximum) = budget.max_calls
            && own.calls > left(maximum, taken.calls).div_ceil(2)
        {
            let left = left(maximum, taken.calls);
            return Err(refuse(format!("{} calls", own.calls), format!("{left} calls")));
        }
        Ok(())
    }

    fn reserved(&self) -> Spent {
        self.reserved.values().fold(Spent::default(), |sum, spent| sum.plus(*spent))
    }
}

fn budget_spent(budget: &Budget, taken: &str, maximum: &str, detail: String) -> Error {
    Error::Provider {
        kind: FailureKind::BudgetSpent(budget.id),
        message: format!("budget {} is spent: {taken} of {maximum}", budget.label),
        detail,
        hint: "Wait for the next period, or ask an administrator to raise the maximum in rag.budgets.".into(),
    }
}

/// Formats a cost with at least two decimals, and up to six if a small price needs them.
fn format_cost(cost: f64) -> String {
    let text = format!("{cost:.6}");
    let digits = text.trim_end_matches('0');
    let decimals = digits.len().saturating_sub(digits.find('.').map_or(0, |point| point + 1));
    if decimals < 2 { format!("{cost:.2}") } else { digits.to_owned() }
}

fn format_time(seconds: i64) -> String {
    let instant = OffsetDateTime::from_unix_timestamp(seconds).ok();
    instant.and_then(|instant| instant.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds} s"))
}

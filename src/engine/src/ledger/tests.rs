#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{Receiver, channel};

use ragstone_core::provider::{Budget, Key, Limits, Prices, Wire};

use super::*;

const DATABASE: u32 = 5;

fn target() -> Target {
    Target {
        database: DATABASE,
        server: 1,
        name: "openai".into(),
        wire: Wire::OpenAi,
        base_url: "http://localhost".into(),
        key: Key::None,
        limits: Limits {
            connect_timeout_ms: 1,
            timeout_ms: 1,
            retries: 0,
            concurrency: 1,
            requests_per_minute: None,
            tokens_per_minute: None,
            max_reply_bytes: 1,
            max_texts: 1,
        },
        prices: Prices::default(),
    }
}

fn account(budgets: Vec<Budget>) -> Account {
    Account { role: 10, function: "generate".into(), keep_text: true, budgets }
}

/// A budget of this hour.
fn budget(max_cost: f64, recorded: f64) -> Budget {
    let hour = now_us() / 3_600_000_000;
    Budget {
        id: 3,
        label: "3 of role \"web\"".into(),
        period_start: hour * 3600,
        period_end: (hour + 1) * 3600,
        recorded: Spent { cost: recorded, tokens: 0, calls: 0 },
        max_cost: Some(max_cost),
        max_tokens: None,
        max_calls: None,
    }
}

fn cost(cost: f64) -> Spent {
    Spent { cost, ..Spent::default() }
}

fn used(cost: f64) -> Usage {
    Usage { input_tokens: 7, output_tokens: 2, cost, latency_ms: 12.0 }
}

fn open(ledger: &Arc<Ledger>, budgets: &[Budget], estimate: f64) -> Result<LedgerEntry, Error> {
    ledger.open(&target(), "small", &account(budgets.to_vec()), cost(estimate), || "[]".into())
}

fn take(ledger: &Ledger, written: u64) -> Receiver<(Vec<Call>, u64)> {
    let (sender, receiver) = channel();
    ledger.take(DATABASE, written, move |calls, lost| {
        let _ = sender.send((calls, lost));
    });
    receiver
}

fn statuses(calls: &[Call]) -> Vec<Status> {
    calls.iter().map(|call| call.status.clone()).collect()
}

#[test]
fn calls_are_delivered_again_until_they_are_written() {
    let ledger = Arc::new(Ledger::default());
    open(&ledger, &[], 0.0).unwrap().close_answered(used(0.5), "hello");
    let cancelled = open(&ledger, &[], 0.0).unwrap();
    drop(cancelled);
    assert_eq!((ledger.unwritten(DATABASE), ledger.unwritten(DATABASE + 1)), (2, 0));
    let (first, _) = take(&ledger, 0).try_recv().unwrap();
    assert_eq!(statuses(&first), [Status::Answered, Status::Cancelled]);
    assert_eq!((first[0].prompt.as_deref(), first[0].reply.as_deref()), (Some("[]"), Some("hello")));
    assert_eq!(first[0].usage, used(0.5));
    assert!(first[1].usage.latency_ms > 0.0 && first[1].usage.input_tokens == 0);
    assert_eq!(take(&ledger, 0).try_recv().unwrap().0, first);
    let (rest, _) = take(&ledger, first[0].number).try_recv().unwrap();
    assert_eq!(rest, first[1..]);
    let under_way = open(&ledger, &[], 0.0).unwrap();
    assert_eq!(ledger.unwritten(DATABASE), 2);
    let waiting = take(&ledger, first[1].number);
    assert!(waiting.try_recv().is_err());
    under_way.close_failed(FailureKind::ProviderLost, Usage::default());
    let (later, lost) = waiting.try_recv().unwrap();
    assert_eq!(statuses(&later), [Status::Failed(FailureKind::ProviderLost)]);
    assert!(later[0].number > first[1].number && lost == 0);
}

#[test]
fn a_consumer_whose_receiver_is_gone_loses_nothing() {
    let ledger = Arc::new(Ledger::default());
    drop(take(&ledger, 0));
    open(&ledger, &[], 0.0).unwrap().close_answered(used(0.5), "");
    assert_eq!(take(&ledger, 0).try_recv().unwrap().0.len(), 1);
}

#[test]
fn a_newer_consumer_replaces_an_older_one() {
    let ledger = Arc::new(Ledger::default());
    let (old, new) = (take(&ledger, 0), take(&ledger, 0));
    open(&ledger, &[], 0.0).unwrap().close_answered(used(0.5), "");
    assert!(old.try_recv().is_err());
    assert_eq!(new.try_recv().unwrap().0.len(), 1);
}

#[test]
fn numbers_of_an_earlier_run_remove_nothing() {
    let before = Arc::new(Ledger::default());
    open(&before, &[], 0.0).unwrap().close_answered(used(0.5), "");
    let number = take(&before, 0).try_recv().unwrap().0[0].number;
    while now_us() as u64 <= number {
        std::hint::spin_loop();
    }
    let after = Arc::new(Ledger::default());
    open(&after, &[], 0.0).unwrap().close_answered(used(0.5), "");
    assert_eq!(take(&after, number).try_recv().unwrap().0.len(), 1);
}

#[test]
fn texts_for_which_there_is_no_room_are_left_out() {
    let ledger = Arc::new(Ledger::default());
    let reply = "x".repeat(LIMITS.bytes / 2);
    for _ in 0..3 {
        open(&ledger, &[], 0.0).unwrap().close_answered(used(0.5), &reply);
    }
    let mut written = 0;
    let mut kept = Vec::new();
    while kept.len() < 3 {
        let (calls, _) = take(&ledger, written).try_recv().unwrap();
        written = calls.last().unwrap().number;
        kept.extend(calls.iter().map(|call| call.reply.is_some()));
    }
    assert_eq!(kept, [true, false, false]);
}

#[test]
fn a_reservation_counts_until_the_call_ends() {
    let ledger = Arc::new(Ledger::default());
    let budgets = [budget(10.0, 8.0)];
    let first = open(&ledger, &budgets, 1.5).unwrap();
    let error = open(&ledger, &budgets, 1.5).err().unwrap();
    assert_eq!(error.kind(), FailureKind::BudgetSpent(3));
    assert_eq!(error.to_string(), "budget 3 of role \"web\" is spent: 8.00 of 10.00");
    assert!(error.detail().starts_with(
        "The call may take up to 1.50 more, and calls in progress up to 1.50. The period ends at 2"
    ));
    first.close_answered(used(0.25), "");
    let second = open(&ledger, &budgets, 1.5).unwrap();
    second.close_answered(used(1.75), "");
    assert!(open(&ledger, &budgets, 0.01).is_err(), "8 + 0.25 + 1.75 are all of it");
    let (calls, _) = take(&ledger, 0).try_recv().unwrap();
    let refused = Status::Failed(FailureKind::BudgetSpent(3));
    assert_eq!(statuses(&calls), [refused.clone(), Status::Answered, Status::Answered, refused]);
}

#[test]
fn what_came_to_be_on_record_is_not_counted_twice() {
    let ledger = Arc::new(Ledger::default());
    open(&ledger, &[budget(10.0, 4.0)], 1.0).unwrap().close_answered(used(1.0), "");
    // The call's record is written by now; the snapshot of a caller may or may not include it.
    drop(open(&ledger, &[budget(10.0, 5.0)], 5.0).unwrap());
    drop(open(&ledger, &[budget(10.0, 4.0)], 5.0).unwrap());
    assert!(open(&ledger, &[budget(10.0, 5.0)], 5.1).is_err());
    // Calls recorded before the budget was first reserved, which that snapshot did not include.
    assert!(open(&ledger, &[budget(10.0, 9.0)], 1.1).is_err());
}

#[test]
fn all_budgets_must_have_room_and_none_is_charged_by_a_refusal() {
    let ledger = Arc::new(Ledger::default());
    let wide = budget(10.0, 0.0);
    let narrow = Budget { id: 4, max_cost: None, max_calls: Some(1), ..wide.clone() };
    let first = open(&ledger, &[wide.clone(), narrow.clone()], 4.0).unwrap();
    let error = open(&ledger, &[wide.clone(), narrow], 4.0).err().unwrap();
    assert!(error.to_string().ends_with("is spent: 0 of 1 calls"), "{error}");
    let second = open(&ledger, std::slice::from_ref(&wide), 6.0).unwrap();
    drop((first, second));
    open(&ledger, &[wide], 10.0).unwrap();
}

#[test]
fn tokens_in_and_out_are_counted_together() {
    let ledger = Arc::new(Ledger::default());
    let budget = Budget { max_cost: None, max_tokens: Some(10), ..budget(1.0, 0.0) };
    open(&ledger, std::slice::from_ref(&budget), 0.0).unwrap().close_answered(used(100.0), "");
    let estimate = Spent { tokens: 2, ..Spent::default() };
    let error = ledger.open(&target(), "small", &account(vec![budget]), estimate, String::new).err().unwrap();
    assert!(error.to_string().ends_with("is spent: 9 of 10 tokens"), "{error}");
}

#[test]
fn a_cancelled_call_has_taken_what_is_known_of_it() {
    let ledger = Arc::new(Ledger::default());
    let budgets = [budget(10.0, 0.0)];
    let mut entry = open(&ledger, &budgets, 1.0).unwrap();
    entry.record_retry();
    entry.set_usage(used(9.5));
    drop(entry);
    assert!(open(&ledger, &budgets, 1.0).is_err());
    let (calls, _) = take(&ledger, 0).try_recv().unwrap();
    assert_eq!((calls[0].retries, calls[0].usage.cost), (1, 9.5));
    assert_eq!(calls[0].status, Status::Cancelled);
}

#[test]
fn a_new_period_and_another_meaning_begin_anew() {
    let ledger = Arc::new(Ledger::default());
    let now = budget(10.0, 0.0);
    open(&ledger, std::slice::from_ref(&now), 10.0).unwrap().close_answered(used(10.0), "");
    assert!(open(&ledger, std::slice::from_ref(&now), 1.0).is_err());
    let next = Budget { period_start: now.period_end, period_end: now.period_end + 3600, ..now.clone() };
    drop(open(&ledger, &[next], 10.0).unwrap());
    let other = Budget { label: "3 of role \"job\"".into(), ..now };
    drop(open(&ledger, &[other], 10.0).unwrap());
}

#[test]
fn periods_that_are_over_are_forgotten() {
    let mut budgets = Budgets::default();
    let old = Budget { period_start: 0, period_end: 3600, ..budget(1.0, 0.0) };
    let under_way = budgets.reserve(DATABASE, &account(vec![old.clone()]), cost(1.0), 100).unwrap();
    let new = Budget { period_start: 3600, period_end: 7200, ..old.clone() };
    drop(budgets.reserve(DATABASE, &account(vec![new]), cost(0.1), 3700).unwrap());
    assert_eq!(budgets.periods(), 2, "a call of the old one is under way");
    budgets.settle(under_way, &used(1.0));
    let newer = Budget { period_start: 7200, period_end: 9000, ..old };
    drop(budgets.reserve(DATABASE, &account(vec![newer]), cost(0.1), 3800).unwrap());
    assert_eq!(budgets.periods(), 2);
}

#[test]
fn a_call_whose_record_would_be_lost_is_refused() {
    let ledger = Arc::new(Ledger::default());
    let call = |role| {
        let account = Account { role, ..account(Vec::new()) };
        ledger.open(&target(), "small", &account, cost(0.0), String::new)
    };
    let under_way = call(10).unwrap();
    let mut made = 1;
    while let Ok(entry) = call(10) {
        entry.close_answered(used(0.0), "");
        made += 1;
    }
    assert_eq!(made, LIMITS.count / 2, "one role leaves half of the room to others");
    let refusal = call(10).err().unwrap();
    assert_eq!(refusal.kind(), FailureKind::QueueFull);
    assert!(refusal.to_string().contains("the record of calls is full"), "{refusal}");
    // Calls that a budget refuses are recorded, too.
    let mut others = 0;
    while open_as(&ledger, 11, &[budget(1.0, 1.0)]).is_err_and(|error| error.kind() != FailureKind::QueueFull)
    {
        others += 1;
    }
    assert_eq!(others, LIMITS.count / 4);
    drop(under_way);
    let (mut written, mut seen) = (0, 0);
    while seen < made + others {
        let (calls, lost) = take(&ledger, written).try_recv().unwrap();
        assert_eq!(lost, 0);
        seen += calls.len();
        written = calls.last().unwrap().number;
    }
    drop(take(&ledger, written));
    assert!(call(10).is_ok(), "there is room again");
}

fn open_as(ledger: &Arc<Ledger>, role: u32, budgets: &[Budget]) -> Result<LedgerEntry, Error> {
    let account = Account { role, ..account(budgets.to_vec()) };
    ledger.open(&target(), "small", &account, cost(1.0), String::new)
}

#[test]
fn calls_of_one_of_several_roles_reserve_half_of_what_is_left() {
    let ledger = Arc::new(Ledger::default());
    let shared = |maximum: [Option<u64>; 2]| Budget {
        max_tokens: maximum[0],
        max_calls: maximum[1],
        ..budget(1e9, 0.0)
    };
    let open_tokens = |role, budget: &Budget, tokens| {
        let account = Account { role, ..account(vec![budget.clone()]) };
        ledger.open(&target(), "small", &account, Spent { tokens, ..Spent::default() }, String::new)
    };
    let tokens = shared([Some(1000), None]);
    drop(open_tokens(10, &tokens, 1000).unwrap());
    drop(open_tokens(11, &tokens, 10).unwrap());
    let refusal = open_tokens(10, &tokens, 501).err().unwrap();
    assert_eq!(refusal.kind(), FailureKind::BudgetSpent(3));
    assert!(
        refusal.detail().contains("half of the 1000 tokens left; with this call they may take 501"),
        "{}",
        refusal.detail()
    );
    let slow = [open_tokens(10, &tokens, 400).unwrap(), open_tokens(10, &tokens, 100).unwrap()];
    assert!(open_tokens(10, &tokens, 1).is_err());
    drop(open_tokens(11, &tokens, 500).unwrap());
    drop(slow);
    drop(open_tokens(10, &tokens, 500).unwrap());

    // Roles of the previous period count, too: the first role that calls in a new period cannot take all of it.
    let next = Budget { period_start: tokens.period_end, period_end: tokens.period_end + 3600, ..tokens };
    assert!(open_tokens(10, &next, 501).is_err());

    let calls = Budget { id: 4, ..shared([None, Some(3)]) };
    drop(open_tokens(11, &calls, 0).unwrap());
    let slow = open_tokens(10, &calls, 0).unwrap();
    assert!(open_tokens(10, &calls, 0).is_err(), "one of the two that are left is for others");
    drop(open_tokens(11, &calls, 0).unwrap());
    drop(slow);
}

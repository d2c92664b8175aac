use std::collections::BTreeMap;

use super::*;
use crate::scheduler::shares::HEAD_START;

#[derive(Debug, Clone, PartialEq)]
struct Text {
    role: u32,
    connection: u64,
    tokens: usize,
    cancelled: bool,
}

impl QueueEntry for Text {
    fn tokens(&self) -> usize {
        self.tokens
    }
    fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

const LIMITS: BatchLimits = BatchLimits { tokens: 512, texts: 8 };

/// The time that a token takes; a full batch then takes about 50 ms.
const TOKEN: Duration = Duration::from_micros(100);

fn client(role: u32, connection: u64) -> Client {
    Client { caller: Caller { database: 1, role }, connection }
}

fn push(queue: &mut FairQueue<Text>, role: u32, connection: u64, lane: Lane, tokens: usize) {
    queue.push(client(role, connection), lane, Text { role, connection, tokens, cancelled: false });
}

fn fill(queue: &mut FairQueue<Text>, role: u32, connection: u64, texts: usize, tokens: usize) {
    (0..texts).for_each(|_| push(queue, role, connection, Lane::Bulk, tokens));
}

fn bulk(lengths: &[usize]) -> FairQueue<Text> {
    let mut queue = FairQueue::default();
    lengths.iter().for_each(|&tokens| push(&mut queue, 1, 1, Lane::Bulk, tokens));
    queue
}

fn lengths(batch: &[Text]) -> Vec<usize> {
    batch.iter().map(|text| text.tokens).collect()
}

/// Runs the next batch.
fn run(queue: &mut FairQueue<Text>) -> Vec<Text> {
    let Some(Batch { texts, bill }) = queue.next_batch(LIMITS) else { return Vec::new() };
    queue.charge(bill, TOKEN * texts.iter().map(|text| text.tokens as u32).sum());
    texts
}

/// Tokens that were run, grouped by the key that `of` returns for a text.
fn tokens_by<K: Ord>(batches: &[Vec<Text>], of: impl Fn(&Text) -> K) -> BTreeMap<K, usize> {
    let mut tokens = BTreeMap::new();
    batches.iter().flatten().for_each(|text| *tokens.entry(of(text)).or_default() += text.tokens);
    tokens
}

#[test]
fn the_oldest_text_is_in_the_first_batch_with_its_neighbours() {
    let mut queue = bulk(&[100, 10, 250, 104, 98, 11]);
    assert_eq!(lengths(&run(&mut queue)), [100, 98, 104]);
    assert_eq!(lengths(&run(&mut queue)), [10, 11]);
    assert_eq!(lengths(&run(&mut queue)), [250]);
    assert!(queue.next_batch(LIMITS).is_none());
}

#[test]
fn queries_go_before_bulk_and_in_a_batch_of_their_own() {
    let mut queue = bulk(&[10]);
    push(&mut queue, 1, 1, Lane::Query, 8);
    push(&mut queue, 1, 2, Lane::Query, 12);
    assert_eq!(lengths(&run(&mut queue)), [8, 12]);
    assert_eq!(lengths(&run(&mut queue)), [10]);
}

#[test]
fn a_long_query_does_not_hold_short_ones_back() {
    let mut queue = bulk(&[]);
    [8, 200, 9].into_iter().for_each(|tokens| push(&mut queue, 1, 1, Lane::Query, tokens));
    assert_eq!(lengths(&run(&mut queue)), [8, 9]);
    assert_eq!(lengths(&run(&mut queue)), [200]);
}

#[test]
fn a_batch_stays_within_tokens_and_texts() {
    let mut many = bulk(&[200; 5]);
    assert_eq!(run(&mut many).len(), 2);
    let mut short = bulk(&[4; 20]);
    assert_eq!(run(&mut short).len(), 8);
    assert_eq!(short.iter().count(), 12);
}

#[test]
fn what_waits_is_one_batch_while_it_fits_into_one() {
    assert!(bulk(&[]).is_one_batch(LIMITS));
    assert!(bulk(&[600]).is_one_batch(LIMITS));
    assert!(bulk(&[10, 12, 18]).is_one_batch(LIMITS));
    assert!(!bulk(&[10; 9]).is_one_batch(LIMITS));
    assert!(!bulk(&[200; 3]).is_one_batch(LIMITS));
    assert!(!bulk(&[10, 200]).is_one_batch(LIMITS));
}

#[test]
fn a_text_over_the_budget_runs_alone() {
    let mut queue = bulk(&[600, 600]);
    assert_eq!(lengths(&run(&mut queue)), [600]);
    assert_eq!(lengths(&run(&mut queue)), [600]);
}

#[test]
fn cancelled_work_is_never_run_and_takes_no_room() {
    let mut queue = bulk(&[10, 10]);
    let cancelled = Text { role: 1, connection: 1, tokens: 10, cancelled: true };
    queue.push(client(1, 1), Lane::Bulk, cancelled.clone());
    queue.push(client(1, 1), Lane::Query, cancelled.clone());
    queue.push(client(2, 2), Lane::Query, cancelled.clone());
    assert_eq!(lengths(&run(&mut queue)), [10, 10]);
    assert!(queue.is_empty() && queue.next_batch(LIMITS).is_none());
    queue.push(client(1, 1), Lane::Bulk, cancelled);
    queue.remove_cancelled();
    assert!(queue.is_empty());
}

#[test]
fn every_text_comes_out_once_whatever_the_lengths() {
    let mut queue = FairQueue::default();
    for n in 0..500 {
        let lane = if n % 3 == 0 { Lane::Query } else { Lane::Bulk };
        push(&mut queue, n % 4, u64::from(n % 7), lane, 3 + n as usize * 7919 % 253);
    }
    let mut out = 0;
    while !queue.is_empty() {
        let batch = run(&mut queue);
        assert!(!batch.is_empty());
        out += batch.len();
    }
    assert_eq!(out, 500);
}

#[test]
fn draining_empties_both_lanes() {
    let mut queue = bulk(&[1, 2]);
    push(&mut queue, 2, 2, Lane::Query, 3);
    assert_eq!(queue.drain().len(), 3);
    assert!(queue.is_empty() && queue.next_batch(LIMITS).is_none());
}

#[test]
fn roles_that_fill_have_the_same_share_whatever_waits_of_each() {
    let mut queue = FairQueue::default();
    fill(&mut queue, 1, 1, 5000, 100);
    fill(&mut queue, 2, 2, 100, 100);
    let batches: Vec<_> = (0..40).map(|_| run(&mut queue)).collect();
    let tokens = tokens_by(&batches, |text| text.role);
    assert_eq!(tokens[&1], tokens[&2]);
    assert!(batches.iter().all(|batch| batch.iter().all(|text| text.role == batch[0].role)));
}

#[test]
fn the_same_role_of_two_databases_has_two_shares() {
    let mut queue = FairQueue::default();
    for (database, texts) in [(1, 1000), (2, 100)] {
        let client = Client { caller: Caller { database, role: 10 }, connection: 1 };
        let text = Text { role: database, connection: 1, tokens: 100, cancelled: false };
        (0..texts).for_each(|_| queue.push(client, Lane::Bulk, text.clone()));
    }
    let batches: Vec<_> = (0..20).map(|_| run(&mut queue)).collect();
    let tokens = tokens_by(&batches, |text| text.role);
    assert_eq!(tokens[&1], tokens[&2]);
}

#[test]
fn more_sessions_are_no_larger_share_of_the_role() {
    let mut queue = FairQueue::default();
    (1..=5).for_each(|connection| fill(&mut queue, 1, connection, 500, 60 + connection as usize * 10));
    fill(&mut queue, 2, 9, 500, 100);
    let batches: Vec<_> = (0..100).map(|_| run(&mut queue)).collect();
    let roles = tokens_by(&batches, |text| text.role);
    assert!(roles[&1].abs_diff(roles[&2]) <= LIMITS.tokens, "{roles:?}");
    let mut sessions = tokens_by(&batches, |text| text.connection);
    sessions.remove(&9);
    let (least, most) = (sessions.values().min().unwrap(), sessions.values().max().unwrap());
    assert!(most - least <= LIMITS.tokens, "{sessions:?}");
}

#[test]
fn single_texts_of_one_role_leave_the_bulk_of_others_its_share() {
    let mut queue = FairQueue::default();
    fill(&mut queue, 2, 9, 2000, 100);
    let mut batches = Vec::new();
    for _ in 0..400 {
        // Six sessions that send the next query as soon as they have their answer.
        for connection in 1..=6 {
            if !queue.iter().any(|text| text.connection == connection) {
                push(&mut queue, 1, connection, Lane::Query, 40);
            }
        }
        batches.push(run(&mut queue));
    }
    let tokens = tokens_by(&batches, |text| text.role);
    let head_start = (HEAD_START.as_micros() / TOKEN.as_micros()) as usize;
    assert!(tokens[&1].abs_diff(tokens[&2]) <= head_start + 2 * LIMITS.tokens, "{tokens:?}");
}

#[test]
fn single_texts_of_a_role_leave_its_own_bulk_a_share() {
    let mut queue = FairQueue::default();
    fill(&mut queue, 1, 9, 2000, 100);
    let mut batches = Vec::new();
    for _ in 0..1000 {
        for connection in 1..=6 {
            if !queue.iter().any(|text| text.connection == connection) {
                push(&mut queue, 1, connection, Lane::Query, 40);
            }
        }
        batches.push(run(&mut queue));
    }
    // Seven sessions have equal shares, and the six have a head start.
    let tokens = tokens_by(&batches, |text| text.connection);
    let head_start = (HEAD_START.as_micros() / TOKEN.as_micros()) as usize;
    assert!(tokens[&9] + head_start + LIMITS.tokens >= tokens[&1], "{tokens:?}");
}

#[test]
fn a_query_now_and_then_waits_for_no_bulk() {
    let mut queue = FairQueue::default();
    fill(&mut queue, 1, 1, 2000, 100);
    fill(&mut queue, 2, 2, 2000, 100);
    for _ in 0..100 {
        run(&mut queue);
        // A role that also has bulk texts, and a role that has none.
        for role in [1, 3] {
            push(&mut queue, role, 7, Lane::Query, 10);
            assert_eq!(lengths(&run(&mut queue)), [10]);
        }
    }
}

#[test]
fn queries_of_all_roles_share_a_batch_and_a_flood_fills_what_is_left() {
    let mut queue = FairQueue::default();
    (0..100).for_each(|_| push(&mut queue, 1, 1, Lane::Query, 10));
    run(&mut queue);
    push(&mut queue, 2, 2, Lane::Query, 11);
    push(&mut queue, 3, 3, Lane::Query, 9);
    let batch = run(&mut queue);
    let roles: Vec<_> = batch.iter().map(|text| text.role).collect();
    assert_eq!(roles, [2, 3, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn long_texts_hold_up_short_ones_of_another_session_by_one_batch() {
    let mut queue = FairQueue::default();
    fill(&mut queue, 1, 1, 100, 600);
    run(&mut queue);
    fill(&mut queue, 1, 2, 4, 10);
    assert_eq!(lengths(&run(&mut queue)), [10; 4]);
}

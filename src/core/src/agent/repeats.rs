//! Detects models that repeat a call without progress.

use serde_json::Value;

use super::event::{CallState, Event, ModelReply, ToolCall};

/// After this number of identical calls with identical results, the next one is refused.
pub const MAX_IDENTICAL_CALLS: usize = 3;

/// What to do with a call that was made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make it.
    Make,
    /// Refuse it, and give the model the reason.
    Tell,
    /// The model has repeated the call after it was refused.
    Stop,
}

/// Compares a call with the earlier calls of the same tool with the same arguments. A repeated call whose result changes,
/// as in polling, is allowed.
pub fn verdict(events: &[Event], call: &ToolCall) -> Verdict {
    let wanted = arguments(call);
    let is_same = |earlier: &ToolCall| earlier.name == call.name && arguments(earlier) == wanted;
    let (mut same, mut last, mut told): (usize, Option<&str>, bool) = (0, None, false);
    let mut said: Option<&ModelReply> = None;
    for event in events {
        match event {
            Event::Said(answer) => said = Some(answer),
            Event::Called(called) => {
                if !said.and_then(|said| said.calls.get(called.position)).is_some_and(is_same) {
                    continue;
                }
                match &called.state {
                    CallState::Made { content, .. } if last == Some(content.as_str()) => same += 1,
                    CallState::Made { content, .. } => {
                        (same, last, told) = (1, Some(content.as_str()), false)
                    }
                    CallState::Refused { repeats: true, .. } => told = true,
                    _ => {}
                }
            }
            Event::Asked { .. } => {}
        }
    }
    match (same >= MAX_IDENTICAL_CALLS, told) {
        (false, _) => Verdict::Make,
        (true, false) => Verdict::Tell,
        (true, true) => Verdict::Stop,
    }
}

/// Arguments as JSON, in which white space and the order of keys make no difference.
fn arguments(call: &ToolCall) -> Option<Value> {
    call.parsed().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::CallUpdate;

    fn call(arguments: &str) -> ToolCall {
        ToolCall { name: "find".into(), arguments: arguments.into(), ..ToolCall::default() }
    }

    fn made(events: &mut Vec<Event>, arguments: &str, state: CallState) {
        events.push(Event::Said(ModelReply { calls: vec![call(arguments)], ..ModelReply::default() }));
        events.push(Event::Called(CallUpdate { position: 0, state, ms: 1.0 }));
    }

    fn gave(content: &str) -> CallState {
        CallState::Made { content: content.into(), is_error: false }
    }

    #[test]
    fn the_same_call_with_the_same_answer_is_told_once_and_then_stopped() {
        let mut events = Vec::new();
        for round in 0..MAX_IDENTICAL_CALLS {
            assert_eq!(verdict(&events, &call(r#"{"a":1,"b":2}"#)), Verdict::Make, "{round}");
            made(&mut events, r#"{"b": 2, "a": 1}"#, gave("x"));
            made(&mut events, r#"{"b": 3}"#, gave("x"));
        }
        assert_eq!(verdict(&events, &call(r#"{"a":1,"b":2}"#)), Verdict::Tell);
        assert_eq!(verdict(&events, &call(r#"{"a":1}"#)), Verdict::Make);
        made(&mut events, r#"{"a":1,"b":2}"#, CallState::Refused { content: "again".into(), repeats: true });
        assert_eq!(verdict(&events, &call(r#"{"a":1,"b":2}"#)), Verdict::Stop);
    }

    #[test]
    fn what_changes_in_between_may_be_asked_for_again() {
        let mut events = Vec::new();
        for round in 0..2 * MAX_IDENTICAL_CALLS {
            made(&mut events, "{}", gave(if round % 3 == 2 { "done" } else { "pending" }));
            assert_eq!(verdict(&events, &call("{}")), Verdict::Make, "{round}");
        }
    }
}

use super::*;
use crate::agent::{CallUpdate, RunLimits};

fn plan(tools: &[(&str, bool)]) -> AgentSpec {
    let tools = tools
        .iter()
        .map(|(name, needs_approval)| ToolSpec { name: (*name).into(), needs_approval: *needs_approval });
    AgentSpec {
        instructions: "Help.".into(),
        tools: tools.collect(),
        schema: None,
        limits: RunLimits { max_steps: 5, token_budget: None, timeout_ms: None },
    }
}

fn asked() -> Vec<Event> {
    vec![Event::Asked { history: Vec::new(), input: "Where is it?".into() }]
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: name.into(), name: name.into(), arguments: arguments.into() }
}

fn said(calls: &[ToolCall]) -> Event {
    Event::Said(ModelReply {
        calls: calls.to_vec(),
        input_tokens: 7,
        output_tokens: 3,
        ms: 10.0,
        ..ModelReply::default()
    })
}

fn answered(content: &str) -> ModelReply {
    ModelReply { content: content.into(), input_tokens: 7, output_tokens: 3, ..ModelReply::default() }
}

fn called(position: usize, state: CallState) -> Event {
    Event::Called(CallUpdate { position, state, ms: 1.0 })
}

fn made(position: usize, content: &str) -> Event {
    called(position, CallState::Made { content: content.into(), is_error: false })
}

fn position(action: &Action) -> Option<usize> {
    match action {
        Action::Call { position, .. } => Some(*position),
        _ => None,
    }
}

#[test]
fn think_call_observe_answer() {
    let plan = plan(&[("find", false), ("count", false)]);
    let mut events = asked();
    let Action::Ask(first) = next(&plan, &events) else { panic!("nothing asked") };
    assert_eq!((first.messages.len(), first.form, first.max_tokens), (2, ReplyFormat::Free, None));
    events.push(said(&[call("find", "{}"), call("count", r#"{"n":1}"#)]));
    assert_eq!(position(&next(&plan, &events)), Some(0));
    events.push(made(0, "here"));
    assert_eq!(position(&next(&plan, &events)), Some(1));
    events.push(made(1, "3"));
    let Action::Ask(second) = next(&plan, &events) else { panic!("nothing asked") };
    // System, user, assistant, and a result for each call.
    assert_eq!(second.messages.len(), 5);
    events.push(Event::Said(answered("It is here.")));
    assert_eq!(next(&plan, &events), Action::Answer("It is here.".into()));
}

#[test]
fn unknown_tools_and_broken_arguments_are_told_to_the_model() {
    let plan = plan(&[("find", false), ("count", false)]);
    let mut events = asked();
    events.push(said(&[call("drop_table", "{}"), call("find", "{\"a\":")]));
    let Action::Refuse { position: 0, content, repeats: false } = next(&plan, &events) else {
        panic!("not refused")
    };
    assert!(content.contains("The tools are find, count."), "{content}");
    events.push(called(0, CallState::Refused { content, repeats: false }));
    let Action::Refuse { position: 1, content, .. } = next(&plan, &events) else { panic!("not refused") };
    assert!(content.contains("line 1 column 5"), "{content}");
}

#[test]
fn calls_that_need_approval_wait_together_and_those_after_them_keep_their_place() {
    let plan = plan(&[("find", false), ("refund", true)]);
    let calls =
        [call("find", "{}"), call("refund", "{}"), call("find", "{\"n\":2}"), call("refund", "{\"n\":2}")];
    let mut events = asked();
    events.push(said(&calls));
    assert_eq!(position(&next(&plan, &events)), Some(0));
    events.push(made(0, "x"));
    assert_eq!(next(&plan, &events), Action::AskForApproval(vec![1, 3]));
    events.push(called(1, CallState::Waiting));
    events.push(called(3, CallState::Waiting));
    assert_eq!(next(&plan, &events), Action::Wait);
    events.push(called(3, CallState::Rejected { reason: "too much".into() }));
    assert_eq!(next(&plan, &events), Action::Wait);
    events.push(called(1, CallState::Approved));
    assert_eq!(position(&next(&plan, &events)), Some(1));
    events.push(made(1, "paid"));
    assert_eq!(position(&next(&plan, &events)), Some(2));
    events.push(made(2, "y"));
    let Action::Ask(ask) = next(&plan, &events) else { panic!("nothing asked") };
    let last = &ask.messages.last().unwrap().content;
    assert!(ask.messages.len() == 7 && !last.contains("too much"), "{last}");
    assert!(ask.messages.iter().any(|message| message.content.contains("The reason: too much")));
}

#[test]
fn an_approved_tool_that_the_agent_lost_meanwhile_is_refused() {
    let mut events = asked();
    events.push(said(&[call("refund", "{}")]));
    events.push(called(0, CallState::Approved));
    assert!(matches!(next(&plan(&[("find", false)]), &events), Action::Refuse { position: 0, .. }));
}

#[test]
fn a_limit_stops_the_run_before_tools_whose_result_is_not_read() {
    let mut plan = plan(&[("find", false)]);
    let mut events = asked();
    events.push(said(&[call("find", "{}")]));
    plan.limits.max_steps = 1;
    assert_eq!(next(&plan, &events), Action::Stop(StopReason::Steps(1)));
    plan.limits = RunLimits { max_steps: 2, token_budget: Some(10), timeout_ms: None };
    assert_eq!(next(&plan, &events), Action::Stop(StopReason::Tokens { spent: 10, budget: 10 }));
    plan.limits = RunLimits { max_steps: 2, token_budget: None, timeout_ms: Some(10) };
    assert_eq!(next(&plan, &events), Action::Stop(StopReason::Time(10)));
    // With higher limits the run continues where it was.
    plan.limits = RunLimits { max_steps: 2, token_budget: Some(10_000), timeout_ms: Some(11) };
    assert_eq!(position(&next(&plan, &events)), Some(0));
}

#[test]
fn what_is_left_of_the_budget_bounds_the_answer() {
    let mut plan = plan(&[("find", false)]);
    plan.limits.token_budget = Some(100);
    plan.limits.timeout_ms = Some(1000);
    let mut events = asked();
    events.push(said(&[call("find", "{}")]));
    events.push(made(0, &"x".repeat(40)));
    let Action::Ask(ask) = next(&plan, &events) else { panic!("nothing asked") };
    // 10 of 100 tokens are used; the next prompt repeats them, and adds about 70 bytes.
    assert!(ask.max_tokens.is_some_and(|most| (55..75).contains(&most)), "{:?}", ask.max_tokens);
    assert_eq!(ask.timeout_ms, Some(989));
    events.pop();
    events.push(made(0, &"x".repeat(4000)));
    assert_eq!(next(&plan, &events), Action::Stop(StopReason::Tokens { spent: 10, budget: 100 }));
}

#[test]
fn a_model_in_a_loop_is_told_and_then_stopped() {
    let mut plan = plan(&[("find", false)]);
    plan.limits.max_steps = 100;
    let mut events = asked();
    for _ in 0..MAX_IDENTICAL_CALLS {
        events.push(said(&[call("find", "{}")]));
        assert_eq!(position(&next(&plan, &events)), Some(0));
        events.push(made(0, "nothing"));
    }
    events.push(said(&[call("find", "{}")]));
    let Action::Refuse { content, repeats: true, .. } = next(&plan, &events) else { panic!("not told") };
    events.push(called(0, CallState::Refused { content, repeats: true }));
    events.push(said(&[call("find", " { } ")]));
    assert_eq!(next(&plan, &events), Action::Stop(StopReason::Loop("find".into())));
}

#[test]
fn an_answer_that_misses_the_schema_is_asked_for_again_in_its_form() {
    let mut plan = plan(&[("find", false)]);
    plan.schema = Some("{}".into());
    let mut events = asked();
    assert!(matches!(next(&plan, &events), Action::Ask(ModelRequest { form: ReplyFormat::Free, .. })));
    let fits = ModelReply { fits: Some(true), ..answered("{\"a\":1}") };
    events.push(Event::Said(fits));
    assert_eq!(next(&plan, &events), Action::Answer("{\"a\":1}".into()));
    events[1] = Event::Said(ModelReply { fits: Some(false), ..answered("Well.") });
    let Action::Ask(ask) = next(&plan, &events) else { panic!("nothing asked") };
    assert!(ask.form == ReplyFormat::Schema && ask.messages.last().unwrap().content.contains("as JSON"));
    events.push(Event::Said(ModelReply { form: ReplyFormat::Schema, ..answered("{}") }));
    assert_eq!(next(&plan, &events), Action::Answer("{}".into()));
    plan.tools.clear();
    assert!(matches!(next(&plan, &asked()), Action::Ask(ModelRequest { form: ReplyFormat::Schema, .. })));
}

#[test]
fn a_model_that_says_nothing_is_no_answer() {
    let mut events = asked();
    events.push(Event::Said(answered(" \n")));
    assert_eq!(next(&plan(&[]), &events), Action::Stop(StopReason::Silence));
}

#[test]
fn an_answer_that_was_cut_is_no_answer() {
    let mut plan = plan(&[]);
    let mut events = asked();
    events.push(Event::Said(ModelReply { finish_reason: "length".into(), ..answered("It is") }));
    assert_eq!(next(&plan, &events), Action::Stop(StopReason::Cut));
    plan.limits.token_budget = Some(11);
    assert_eq!(next(&plan, &events), Action::Stop(StopReason::Tokens { spent: 10, budget: 11 }));
}

#[test]
fn what_a_run_took_is_the_sum_of_its_events() {
    let mut events = asked();
    events.push(said(&[call("find", "{}")]));
    events.push(made(0, "x"));
    events.push(Event::Said(ModelReply { cost: 0.5, ..answered("Here.") }));
    let spent = run_usage(&events);
    assert_eq!((spent.steps, spent.input_tokens, spent.output_tokens), (2, 14, 6));
    assert!((spent.cost - 0.5).abs() < 1e-9 && (spent.ms - 11.0).abs() < 1e-9);
}

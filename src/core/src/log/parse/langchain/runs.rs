//! Runs of tracers, each of which is a step (`langsmith.schemas.RunBase`).

use super::super::attributes::AttributeWriter;
use super::super::fields::{amount, count};
use super::super::json_index::{JsonIndex, NodeKind};
use super::super::jsonb_source::JsonbSource;
use super::super::step::{LogFormat, Sink, StepDraft, StepKind, StepStatus};
use super::super::text_span::TextSpan;
use super::super::time::moment;
use super::answer::{error_text, usage};
use super::nodes::{duration_between, inner, is_empty, outer};

/// The members of a run that do not map to one column, as nodes.
#[derive(Debug, Default)]
struct TracerRun {
    ended_us: Option<i64>,
    children: Option<u32>,
    output: Option<u32>,
    extra: Option<u32>,
    order: Option<u32>,
}

/// Passes a run of a tracer, and the runs within it, to the sink.
pub fn run(
    writer: &mut AttributeWriter<'_>,
    json: &JsonIndex,
    object: u32,
    known: StepDraft,
    whole: TextSpan,
    sink: &mut impl Sink,
) {
    let log = writer.log;
    let mut draft = StepDraft { format: Some(LogFormat::LangChain), kind: Some(StepKind::Custom), ..known };
    let run = TracerRun::read(writer, json, object, &mut draft);
    draft.run = draft.run.or(run.order.map_or(TextSpan::NONE, |order| root_of(log, inner(json, order))));
    draft.run = draft.run.or(known.run).or(draft.parent).or(draft.span);
    draft.duration_ms = duration_between(draft.started_us, run.ended_us);
    draft.status = Some(match (draft.error.is_some(), run.ended_us) {
        (true, _) => StepStatus::Error,
        (false, None) => StepStatus::Running,
        (false, Some(_)) => StepStatus::Ok,
    });
    if draft.kind == Some(StepKind::Model) {
        let metadata = run.extra.and_then(|extra| json.get(log, extra, b"metadata"));
        usage(writer, json, run.output, metadata, &mut draft);
    } else if draft.kind == Some(StepKind::Custom) {
        // These are sums over the inner runs, which have their own values.
        (draft.input_tokens, draft.output_tokens, draft.cost) = (None, None, None);
    }
    let of_run = StepDraft { run: draft.run, ..known };
    draft.emit(writer, json, whole, sink);
    for child in run.children.into_iter().flat_map(|children| json.elements(children)) {
        self::run(writer, json, child, of_run, outer(json, log, child), sink);
    }
}

impl TracerRun {
    /// Reads the members of a run: columns into `draft`, other members as attributes.
    fn read(writer: &mut AttributeWriter<'_>, json: &JsonIndex, object: u32, draft: &mut StepDraft) -> Self {
        let log = writer.log;
        let mut run = Self::default();
        for (key, value) in json.members(object) {
            if json.node(value).kind == NodeKind::Null {
                continue;
            }
            match json.source(log, key) {
                b"id" => draft.span = inner(json, value),
                b"parent_run_id" => draft.parent = inner(json, value),
                b"trace_id" => draft.run = inner(json, value),
                b"name" => draft.name = writer.text(json, value),
                b"start_time" => draft.started_us = moment(json.source(log, value), writer.zone),
                b"end_time" => run.ended_us = moment(json.source(log, value), writer.zone),
                b"inputs" => draft.input = JsonbSource::Node(value),
                b"outputs" => {
                    run.output = Some(value);
                    draft.output = JsonbSource::Node(value);
                }
                b"error" => draft.error = error_text(writer, json, value),
                b"child_runs" => run.children = Some(value),
                b"prompt_tokens" => draft.input_tokens = count(json.source(log, value)),
                b"completion_tokens" => draft.output_tokens = count(json.source(log, value)),
                b"total_cost" => draft.cost = amount(json.source(log, value)),
                name => {
                    match name {
                        b"run_type" => draft.kind = StepKind::of(json.source(log, value)).or(draft.kind),
                        b"extra" => run.extra = Some(value),
                        b"dotted_order" => run.order = Some(value),
                        _ => {}
                    }
                    if !is_empty(json, value) {
                        let key = writer.text(json, key);
                        writer.member(key, JsonbSource::Node(value));
                    }
                }
            }
        }
        run
    }
}

/// The first id in `20260503T093000125000Z<id>.20260503T…Z<id>`.
fn root_of(log: &[u8], order: TextSpan) -> TextSpan {
    let text = &log[order.start()..order.end()];
    let end = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    match text[..end].iter().position(|byte| *byte == b'Z') {
        Some(zone) if zone + 1 < end => TextSpan::log(order.start() + zone + 1, order.start() + end),
        _ => TextSpan::NONE,
    }
}

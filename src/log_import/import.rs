//! Imports a log of another program as runs and steps.
//!
//! The log is parsed twice, which costs little compared to writing: the first pass finds the runs, their times and their
//! outermost steps, and the second one writes the steps in batches.

use crate::agent_log;
use crate::agent_log::tables;
use crate::log_import;
use crate::log_import::LogText;
use pgrx::PgLogLevel;
use ragstone_core::log::parse::{LogFormat, ParsedStep, StepStatus};
use ragstone_core::log::{self, Entry, RunEnd, RunStart, Step};
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::owner::Owner;
use std::collections::HashMap;

/// Maximum number of entries that are written at once.
const MAX_BATCH_ENTRIES: usize = 500;

/// Number of ids that are taken from the sequence at once.
const ID_BATCH: usize = 256;

/// The agent of a run for which neither the caller nor the log names one.
const DEFAULT_AGENT: &str = "imported";

/// Options of an import.
pub struct ImportOptions<'a> {
    /// The format; detected for each line if none.
    pub format: Option<LogFormat>,
    /// The agent of all runs; the name of a run's outermost step if none.
    pub agent: Option<String>,
    /// A JSON object, the attributes of all runs.
    pub attributes: Option<JsonbRef<'a>>,
}

/// A run that was imported.
pub struct ImportedRun {
    /// The run's number.
    pub run_id: i64,
    /// The id of the run in the log; none for the run of the lines without one.
    pub run: Option<String>,
    /// The name of what ran.
    pub agent: String,
    /// Number of steps, including those of lines that were not understood.
    pub steps: i32,
    /// Number of lines that were not understood.
    pub unknown: i32,
}

/// Writes the runs and steps of a log in the caller's transaction. The runs belong to the current role.
///
/// # Errors
/// 22023 if the attributes are not an object.
pub fn import(content: &LogText, import: &ImportOptions) -> Result<Vec<ImportedRun>> {
    let attributes = import.attributes.map(JsonbRef::to_json).transpose()?;
    if attributes.as_ref().is_some_and(|json| !json.starts_with('{')) {
        return Err(Error::bad_argument("attributes must be a JSON object"));
    }
    let mut survey = Survey::default();
    log_import::parse(content, import.format, |row| survey.see(row));
    let owner = Owner::who_makes()?.to_text()?;
    let mut writer = ImportWriter::new(survey, owner, import.agent.as_deref())?;
    writer.begin(attributes.as_deref())?;
    let mut outcome = Ok(());
    log_import::parse(content, import.format, |row| {
        if outcome.is_ok() {
            outcome = writer.step(row);
        }
    });
    outcome?;
    writer.end()?;
    tables::ensure_coordinator();
    Ok(writer.imported())
}

/// The result of the first pass.
#[derive(Default)]
struct Survey {
    runs: Vec<SurveyedRun>,
    /// Indexes into `runs` by the id in the log; none for the lines without one.
    indexes: HashMap<Option<Vec<u8>>, usize>,
    /// Step numbers by run and span id; 0 before a number is assigned, and negative after the step has been written.
    spans: HashMap<(usize, Vec<u8>), i64>,
}

/// A run of the log.
#[derive(Default)]
struct SurveyedRun {
    id: i64,
    key: Option<Vec<u8>>,
    agent: String,
    first_us: Option<i64>,
    last_us: Option<i64>,
    root: Option<RootStep>,
    steps: i32,
    unknown: i32,
}

/// The outermost step of a run.
struct RootStep {
    name: Option<String>,
    started_us: Option<i64>,
    input: Option<String>,
    output: Option<String>,
    error: Option<String>,
    status: StepStatus,
}

impl Survey {
    fn see(&mut self, row: &ParsedStep<'_>) {
        let index = self.index(row.run);
        let run = &mut self.runs[index];
        run.steps += 1;
        run.unknown += i32::from(row.format.is_none());
        if let Some(started) = row.started_us {
            let ended = started.saturating_add((row.duration_ms.unwrap_or_default() * 1000.0) as i64);
            run.first_us = Some(run.first_us.map_or(started, |first| first.min(started)));
            run.last_us = Some(run.last_us.map_or(ended, |last| last.max(ended)));
        }
        let Some(span) = row.span else { return };
        if row.parent.is_none() && run.root.as_ref().is_none_or(|root| row.started_us < root.started_us) {
            run.root = Some(RootStep {
                name: row.name.map(text),
                started_us: row.started_us,
                input: row.input.and_then(json),
                output: row.output.and_then(json),
                error: row.error.map(text),
                status: row.status,
            });
        }
        self.spans.insert((index, span.to_vec()), 0);
    }

    fn index(&mut self, run: Option<&[u8]>) -> usize {
        let key = run.map(<[u8]>::to_vec);
        *self.indexes.entry(key).or_insert_with_key(|key| {
            self.runs.push(SurveyedRun { key: key.clone(), ..SurveyedRun::default() });
            self.runs.len() - 1
        })
    }
}

/// The second pass, which writes runs and steps.
struct ImportWriter {
    survey: Survey,
    owner: String,
    /// The time of steps that have none: that of the step before in the log, or now.
    now_us: i64,
    ids: Vec<i64>,
    /// Number of steps of each run so far.
    step_counts: Vec<i32>,
    entries: Vec<Entry>,
}

impl ImportWriter {
    fn new(mut survey: Survey, owner: String, agent: Option<&str>) -> Result<Self> {
        let count = survey.runs.len();
        let ids = tables::as_owner(|| (0..count).map(|_| tables::next_run()).collect::<Result<Vec<i64>>>())?;
        for (run, id) in survey.runs.iter_mut().zip(ids) {
            let named = run.root.as_ref().and_then(|root| root.name.clone()).filter(|name| !name.is_empty());
            run.id = id;
            run.agent = agent.map(str::to_owned).or(named).unwrap_or_else(|| DEFAULT_AGENT.to_owned());
        }
        let now_us = survey.runs.iter().filter_map(|run| run.first_us).min().unwrap_or_else(clock::now);
        let step_counts = vec![0; count];
        Ok(Self { survey, owner, now_us, ids: Vec::new(), step_counts, entries: Vec::new() })
    }

    /// Writes the beginnings of the runs.
    fn begin(&mut self, attributes: Option<&str>) -> Result<()> {
        for run in &self.survey.runs {
            let key = run.key.as_deref().map(text);
            let own: Vec<(&str, String)> = key.iter().map(|key| ("log.run", quote(key))).collect();
            let is_trace = key.as_ref().is_some_and(|key| is_trace_id(key));
            self.entries.push(Entry::Start(RunStart {
                id: run.id,
                owner: self.owner.clone(),
                agent: run.agent.clone(),
                input: run.root.as_ref().and_then(|root| root.input.clone()),
                trace_id: key.filter(|_| is_trace).map(|key| key.to_ascii_lowercase()),
                attributes: with_members(attributes.map(str::to_owned), &own),
                started_us: run.first_us.unwrap_or(self.now_us),
                ..RunStart::default()
            }));
        }
        self.flush()
    }

    fn step(&mut self, row: &ParsedStep<'_>) -> Result<()> {
        let index = self.survey.index(row.run);
        let id = match row.span {
            Some(span) => self.id_of_span(index, span)?,
            None => self.next()?,
        };
        let parent = row.parent.filter(|parent| row.span != Some(parent));
        let parent_id = match parent {
            Some(parent) if self.survey.spans.contains_key(&(index, parent.to_vec())) => {
                Some(self.id_of_span(index, parent)?)
            }
            _ => None,
        };
        // If a span id occurs twice, it belongs to the first step that has it.
        let id = if row.span.is_some() && !self.claim(index, row.span) { self.next()? } else { id };
        self.now_us = row.started_us.unwrap_or(self.now_us);
        self.step_counts[index] += 1;
        let mut own = vec![("log.line", row.line.to_string())];
        own.extend(row.span.map(|span| ("log.span", quote(&text(span)))));
        own.extend(parent.filter(|_| parent_id.is_none()).map(|parent| ("log.parent", quote(&text(parent)))));
        let run = &self.survey.runs[index];
        self.entries.push(Entry::Step(Step {
            id,
            run_id: run.id,
            number: self.step_counts[index],
            parent_id,
            owner: self.owner.clone(),
            agent: run.agent.clone(),
            kind: row.kind.name().to_owned(),
            name: row.name.map(text),
            input: row.input.and_then(json),
            output: row.output.and_then(json).or_else(|| row.raw.map(|raw| quote(&text(raw)))),
            model: row.model.map(text),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cost: row.cost,
            started_us: self.now_us,
            duration_ms: row.duration_ms,
            status: row.status.name().to_owned(),
            error: row.error.map(text),
            attributes: with_members(row.attributes.and_then(json), &own),
            ..Step::default()
        }));
        if self.entries.len() >= MAX_BATCH_ENTRIES { self.flush() } else { Ok(()) }
    }

    /// Writes the ends of the runs.
    fn end(&mut self) -> Result<()> {
        for run in &self.survey.runs {
            let root = run.root.as_ref();
            let status = match root.map(|root| root.status) {
                Some(StepStatus::Error) => "failed",
                Some(StepStatus::Cancelled) => "cancelled",
                // The run had not ended when the log did.
                Some(StepStatus::Running) => continue,
                Some(StepStatus::Ok) | None => "done",
            };
            self.entries.push(Entry::End(RunEnd {
                id: run.id,
                status: status.to_owned(),
                output: root.and_then(|root| root.output.clone()),
                error: root.and_then(|root| root.error.clone()),
                finished_us: run.last_us.unwrap_or(self.now_us),
                ..RunEnd::default()
            }));
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        agent_log::write(&std::mem::take(&mut self.entries)).map(|_| ())
    }

    /// The number of the step with the given span id. It is assigned when the span is first named, as a parent or by its own step.
    fn id_of_span(&mut self, index: usize, span: &[u8]) -> Result<i64> {
        let key = (index, span.to_vec());
        match self.survey.spans.get(&key).copied().unwrap_or_default() {
            0 => {
                let number = self.next()?;
                self.survey.spans.insert(key, number);
                Ok(number)
            }
            number => Ok(number.abs()),
        }
    }

    /// Whether the step of the span id is written for the first time. Its number is stored as negative from then on.
    fn claim(&mut self, index: usize, span: Option<&[u8]>) -> bool {
        let number = span.and_then(|span| self.survey.spans.get_mut(&(index, span.to_vec())));
        number.is_some_and(|number| {
            let first = *number > 0;
            *number = -number.abs();
            first
        })
    }

    fn next(&mut self) -> Result<i64> {
        if self.ids.is_empty() {
            self.ids =
                tables::as_owner(|| (0..ID_BATCH).map(|_| tables::next_step()).collect::<Result<_>>())?;
            self.ids.reverse();
        }
        self.ids.pop().ok_or_else(|| Error::internal("no number of a step"))
    }

    fn imported(self) -> Vec<ImportedRun> {
        let unknown: i32 = self.survey.runs.iter().map(|run| run.unknown).sum();
        if unknown > 0 {
            Error::information(format!("{unknown} lines were not understood"))
                .detail("They are steps of kind custom, with the attribute unparsed and the line as output.")
                .notice(PgLogLevel::NOTICE);
        }
        let imported = |run: SurveyedRun| ImportedRun {
            run_id: run.id,
            run: run.key.as_deref().map(text),
            agent: run.agent,
            steps: run.steps,
            unknown: run.unknown,
        };
        self.survey.runs.into_iter().map(imported).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A `jsonb` with its header as JSON text.
fn json(bytes: &[u8]) -> Option<String> {
    bytes.get(4..).and_then(|bytes| Jsonb(bytes.to_vec()).to_json().ok())
}

/// A JSON object with additional members, whose values are JSON.
fn with_members(object: Option<String>, own: &[(&str, String)]) -> Option<String> {
    if own.is_empty() {
        return object;
    }
    let mut json = object.unwrap_or_else(|| "{}".to_owned());
    json.pop();
    for (key, value) in own {
        let comma = if json.len() > 1 { ", " } else { "" };
        json += &format!("{comma}{}: {value}", quote(key));
    }
    Some(json + "}")
}

fn quote(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    log::quote(text, &mut json);
    json
}

/// Whether the key is a trace id: 32 hexadecimal digits that are not all zero (W3C Trace Context).
fn is_trace_id(key: &str) -> bool {
    key.len() == 32
        && key.bytes().all(|byte| byte.is_ascii_hexdigit())
        && key.bytes().any(|byte| byte != b'0')
}

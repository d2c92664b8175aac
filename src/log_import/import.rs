//! Runs and steps out of a log that somebody else has written.
//!
//! The log is read twice, which costs little beside writing: first to see which runs there are, when they begin and what
//! their outermost steps are called, then to write the steps, a few hundred at a time.

use crate::agent_log;
use crate::agent_log::tables;
use crate::log_import;
use crate::log_import::Content;
use pgrx::PgLogLevel;
use ragstone_core::log::parse::{LogFormat, ParsedStep, StepStatus};
use ragstone_core::log::{self, Entry, RunEnd, RunStart, Step};
use ragstone_pg::bytes::{Jsonb, JsonbRef};
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::role::Role;
use std::collections::HashMap;

/// Steps that are written at once.
const BATCH: usize = 500;

/// Numbers that are taken from a sequence at once.
const NUMBERS: usize = 256;

/// What a run is called whose log does not say.
const NAMELESS: &str = "imported";

/// How a log is imported.
pub struct Import<'a> {
    /// One format, or all.
    pub format: Option<LogFormat>,
    /// What the runs call themselves; what their outermost steps are called if nothing.
    pub agent: Option<String>,
    /// Of all runs, an object.
    pub attributes: Option<JsonbRef<'a>>,
}

/// A run that was made.
pub struct Imported {
    /// Its number.
    pub run_id: i64,
    /// What the log calls it; nothing for the lines that belong to none.
    pub run: Option<String>,
    /// What runs.
    pub agent: String,
    /// Its steps, lines that were not understood included.
    pub steps: i32,
    /// Lines that were not understood.
    pub unknown: i32,
}

/// Writes the runs and steps of a log, in the caller's transaction, as runs of the current role's.
///
/// # Errors
/// 22023 where the attributes are no object.
pub fn import(content: &Content, import: &Import) -> Result<Vec<Imported>> {
    let attributes = import.attributes.map(JsonbRef::to_json).transpose()?;
    if attributes.as_ref().is_some_and(|json| !json.starts_with('{')) {
        return Err(Error::bad_argument("attributes must be a JSON object"));
    }
    let mut survey = Survey::default();
    log_import::parse(content, import.format, |row| survey.see(row));
    let owner = Role::current()?.to_text()?;
    let mut writer = Writer::new(survey, owner, import.agent.as_deref())?;
    writer.begin(attributes.as_deref())?;
    let mut outcome = Ok(());
    log_import::parse(content, import.format, |row| {
        if outcome.is_ok() {
            outcome = writer.step(row);
        }
    });
    outcome?;
    writer.end()?;
    tables::ensure_worker();
    Ok(writer.imported())
}

/// The steps of a log, seen once.
#[derive(Default)]
struct Survey {
    runs: Vec<Seen>,
    /// Places in `runs` by the log's ids; nothing for the lines that belong to none.
    places: HashMap<Option<Vec<u8>>, usize>,
    /// The step of each id of the log's, by its run: its number, once it has one.
    spans: HashMap<(usize, Vec<u8>), i64>,
}

/// A run of a log.
#[derive(Default)]
struct Seen {
    id: i64,
    key: Option<Vec<u8>>,
    agent: String,
    first_us: Option<i64>,
    last_us: Option<i64>,
    root: Option<Root>,
    steps: i32,
    unknown: i32,
}

/// The outermost step of a run.
struct Root {
    name: Option<String>,
    started_us: Option<i64>,
    input: Option<String>,
    output: Option<String>,
    error: Option<String>,
    status: StepStatus,
}

impl Survey {
    fn see(&mut self, row: &ParsedStep<'_>) {
        let place = self.place(row.run);
        let run = &mut self.runs[place];
        run.steps += 1;
        run.unknown += i32::from(row.format.is_none());
        if let Some(started) = row.started_us {
            let ended = started.saturating_add((row.duration_ms.unwrap_or_default() * 1000.0) as i64);
            run.first_us = Some(run.first_us.map_or(started, |first| first.min(started)));
            run.last_us = Some(run.last_us.map_or(ended, |last| last.max(ended)));
        }
        let Some(span) = row.span else { return };
        if row.parent.is_none() && run.root.as_ref().is_none_or(|root| row.started_us < root.started_us) {
            run.root = Some(Root {
                name: row.name.map(text),
                started_us: row.started_us,
                input: row.input.and_then(json),
                output: row.output.and_then(json),
                error: row.error.map(text),
                status: row.status,
            });
        }
        self.spans.insert((place, span.to_vec()), 0);
    }

    fn place(&mut self, run: Option<&[u8]>) -> usize {
        let key = run.map(<[u8]>::to_vec);
        *self.places.entry(key).or_insert_with_key(|key| {
            self.runs.push(Seen { key: key.clone(), ..Seen::default() });
            self.runs.len() - 1
        })
    }
}

/// Writes what a survey has seen.
struct Writer {
    survey: Survey,
    owner: String,
    /// When a step began that has no moment: when the one before it in the log did, or now.
    now_us: i64,
    numbers: Vec<i64>,
    given: Vec<i32>,
    entries: Vec<Entry>,
}

impl Writer {
    fn new(mut survey: Survey, owner: String, agent: Option<&str>) -> Result<Self> {
        let count = survey.runs.len();
        let ids = tables::as_owner(|| (0..count).map(|_| tables::next_run()).collect::<Result<Vec<i64>>>())?;
        for (run, id) in survey.runs.iter_mut().zip(ids) {
            let named = run.root.as_ref().and_then(|root| root.name.clone()).filter(|name| !name.is_empty());
            run.id = id;
            run.agent = agent.map(str::to_owned).or(named).unwrap_or_else(|| NAMELESS.to_owned());
        }
        let now_us = survey.runs.iter().filter_map(|run| run.first_us).min().unwrap_or_else(clock::now);
        let given = vec![0; count];
        Ok(Self { survey, owner, now_us, numbers: Vec::new(), given, entries: Vec::new() })
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
        let place = self.survey.place(row.run);
        let id = match row.span {
            Some(span) => self.number_of(place, span)?,
            None => self.next()?,
        };
        let parent = row.parent.filter(|parent| row.span != Some(parent));
        let parent_id = match parent {
            Some(parent) if self.survey.spans.contains_key(&(place, parent.to_vec())) => {
                Some(self.number_of(place, parent)?)
            }
            _ => None,
        };
        // An id that comes twice is that of its first step.
        let id = if row.span.is_some() && !self.claim(place, row.span) { self.next()? } else { id };
        self.now_us = row.started_us.unwrap_or(self.now_us);
        self.given[place] += 1;
        let mut own = vec![("log.line", row.line.to_string())];
        own.extend(row.span.map(|span| ("log.span", quote(&text(span)))));
        own.extend(parent.filter(|_| parent_id.is_none()).map(|parent| ("log.parent", quote(&text(parent)))));
        let run = &self.survey.runs[place];
        self.entries.push(Entry::Step(Step {
            id,
            run_id: run.id,
            number: self.given[place],
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
        if self.entries.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Writes the ends of the runs.
    fn end(&mut self) -> Result<()> {
        for run in &self.survey.runs {
            let root = run.root.as_ref();
            let status = match root.map(|root| root.status) {
                Some(StepStatus::Error) => "failed",
                Some(StepStatus::Cancelled) => "cancelled",
                // The log ends before the run does.
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

    /// The number of the step that has an id of the log's. It has one as soon as it is named, as a parent or itself.
    fn number_of(&mut self, place: usize, span: &[u8]) -> Result<i64> {
        let key = (place, span.to_vec());
        match self.survey.spans.get(&key).copied().unwrap_or_default() {
            0 => {
                let number = self.next()?;
                self.survey.spans.insert(key, number);
                Ok(number)
            }
            number => Ok(number.abs()),
        }
    }

    /// Whether the step of an id is written for the first time. Its number is kept as a negative one from then on.
    fn claim(&mut self, place: usize, span: Option<&[u8]>) -> bool {
        let number = span.and_then(|span| self.survey.spans.get_mut(&(place, span.to_vec())));
        number.is_some_and(|number| {
            let first = *number > 0;
            *number = -number.abs();
            first
        })
    }

    fn next(&mut self) -> Result<i64> {
        if self.numbers.is_empty() {
            self.numbers =
                tables::as_owner(|| (0..NUMBERS).map(|_| tables::next_step()).collect::<Result<_>>())?;
            self.numbers.reverse();
        }
        self.numbers.pop().ok_or_else(|| Error::internal("no number of a step"))
    }

    fn imported(self) -> Vec<Imported> {
        let unknown: i32 = self.survey.runs.iter().map(|run| run.unknown).sum();
        if unknown > 0 {
            Error::information(format!("{unknown} lines were not understood"))
                .detail("They are steps of kind custom, with the attribute unparsed and the line as output.")
                .notice(PgLogLevel::NOTICE);
        }
        let made = |run: Seen| Imported {
            run_id: run.id,
            run: run.key.as_deref().map(text),
            agent: run.agent,
            steps: run.steps,
            unknown: run.unknown,
        };
        self.survey.runs.into_iter().map(made).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A `jsonb` with its header as JSON text.
fn json(bytes: &[u8]) -> Option<String> {
    bytes.get(4..).and_then(|bytes| Jsonb(bytes.to_vec()).to_json().ok())
}

/// An object with members of our own, whose values are JSON.
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

/// 32 hexadecimal digits, not all of them zeros (W3C Trace Context).
fn is_trace_id(key: &str) -> bool {
    key.len() == 32
        && key.bytes().all(|byte| byte.is_ascii_hexdigit())
        && key.bytes().any(|byte| byte != b'0')
}

//! Imports a log of another program as runs and steps.
//!
//! The log is parsed three times, which costs little compared to writing: the first two passes survey the runs
//! (see [`Survey`]), and the third one writes the steps in batches. A run that was imported before is found by
//! the digest of its steps, and is not written again.

use crate::agent_log;
use crate::agent_log::tables;
use crate::log_import;
use crate::log_import::survey::{Survey, SurveyedRun};
use crate::log_import::values::{is_trace_id, json, text};
use crate::log_import::{LogOptions, LogText};
use pgrx::PgLogLevel;
use ragstone_core::log::parse::{ParsedStep, StepStatus};
use ragstone_core::log::{self, Entry, RunEnd, RunStart, Step};
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_lock::OwnLock;
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, connect, run as statement};
use std::collections::HashMap;

/// Maximum number of entries that are written at once.
const MAX_BATCH_ENTRIES: usize = 500;

/// Number of ids that are taken from the sequence at once.
const ID_BATCH: usize = 256;

/// The attribute of a run with the digest of its steps.
const DIGEST: &str = "log.digest";

/// The agent of a run for which neither the caller nor the log names one.
const DEFAULT_AGENT: &str = "imported";

/// Options of an import.
pub struct ImportOptions<'a> {
    /// How the log is parsed.
    pub log: LogOptions,
    /// The agent of all runs; None stands for the name of a run's outermost step.
    pub agent: Option<String>,
    /// A JSON object, the attributes of all runs.
    pub attributes: Option<JsonbRef<'a>>,
}

/// A run that was imported.
pub struct ImportedRun {
    /// The run's number.
    pub run_id: i64,
    /// The id of the run in the log; None for the run of the lines without an id.
    pub run: Option<String>,
    /// The agent's name.
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
    log_import::parse(content, &import.log, |row| survey.see(row));
    log_import::parse(content, &import.log, |row| survey.see_outermost(row));
    survey.finish_digests(import.agent.as_deref());
    let owner = Owner::who_makes()?.to_text()?;
    find_known(&mut survey, &owner)?;
    let mut writer = ImportWriter::new(survey, owner, import.agent.as_deref())?;
    writer.begin(attributes.as_deref())?;
    let mut outcome = Ok(());
    log_import::parse(content, &import.log, |row| {
        if outcome.is_ok() {
            outcome = writer.step(row);
        }
    });
    outcome?;
    writer.end()?;
    tables::ensure_coordinator();
    Ok(writer.imported())
}

/// The second pass, which writes runs and steps.
struct ImportWriter {
    survey: Survey,
    owner: String,
    /// The time for steps that have none: that of the previous step in the log, or now.
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
        for (run, id) in survey.runs.iter_mut().zip(ids).filter(|(run, _)| !run.is_known) {
            let named = run.root().and_then(|root| root.name.clone()).filter(|name| !name.is_empty());
            run.id = id;
            run.agent = agent.map(str::to_owned).or(named).unwrap_or_else(|| DEFAULT_AGENT.to_owned());
        }
        let now_us = survey.runs.iter().filter_map(|run| run.first_us).min().unwrap_or_else(clock::now);
        let step_counts = vec![0; count];
        Ok(Self { survey, owner, now_us, ids: Vec::new(), step_counts, entries: Vec::new() })
    }

    /// Writes the beginnings of the runs.
    fn begin(&mut self, attributes: Option<&str>) -> Result<()> {
        for run in self.survey.runs.iter().filter(|run| !run.is_known) {
            let key = run.key.as_deref().map(text);
            let mut own = vec![(DIGEST, quote(&run.digest()))];
            own.extend(key.iter().map(|key| ("log.run", quote(key))));
            let is_trace = key.as_ref().is_some_and(|key| is_trace_id(key));
            self.entries.push(Entry::Start(RunStart {
                id: run.id,
                owner: self.owner.clone(),
                agent: run.agent.clone(),
                input: run.root().and_then(|root| root.input.clone()),
                trace_id: key.filter(|_| is_trace).map(|key| key.to_ascii_lowercase()),
                parent_span_id: run.outer_span().filter(|_| is_trace),
                attributes: with_members(attributes.map(str::to_owned), &own),
                started_us: run.first_us.unwrap_or(self.now_us),
                ..RunStart::default()
            }));
        }
        self.flush()
    }

    fn step(&mut self, row: &ParsedStep<'_>) -> Result<()> {
        let index = self.survey.index(row.run);
        if self.survey.runs[index].is_known {
            return Ok(());
        }
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
        for run in self.survey.runs.iter().filter(|run| !run.is_known) {
            let (status, error) = run.outcome();
            let status = match status {
                StepStatus::Error => "failed",
                StepStatus::Cancelled => "cancelled",
                // The run had not ended when the log was written.
                StepStatus::Running => continue,
                StepStatus::Ok => "done",
            };
            self.entries.push(Entry::End(RunEnd {
                id: run.id,
                status: status.to_owned(),
                output: run.root().and_then(|root| root.output.clone()),
                error: error.map(str::to_owned),
                finished_us: run.last_us.unwrap_or(self.now_us),
                ..RunEnd::default()
            }));
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        agent_log::write(&std::mem::take(&mut self.entries)).map(|_| ())
    }

    /// The number of the step with the given span id. It is assigned when the span is first named, as a
    /// parent or by its own step.
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

    /// True if the step of the span id is written for the first time. Its number is stored as negative from
    /// then on.
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
        let known = self.survey.runs.iter().filter(|run| run.is_known).count();
        if known > 0 {
            Error::information(format!("{known} runs were imported before"))
                .detail("Their steps are the same, so they are not imported again.")
                .notice(PgLogLevel::NOTICE);
        }
        let written = self.survey.runs.iter().filter(|run| !run.is_known);
        let unknown: i32 = written.map(|run| run.unknown).sum();
        if unknown > 0 {
            Error::information(format!("{unknown} lines were not understood"))
                .detail("They are steps of kind custom, with the attribute unparsed and the line as output.")
                .notice(PgLogLevel::NOTICE);
        }
        let imported = |run: SurveyedRun| ImportedRun {
            run_id: run.id,
            run: run.key.as_deref().map(text),
            agent: run.agent,
            steps: if run.is_known { 0 } else { run.steps },
            unknown: if run.is_known { 0 } else { run.unknown },
        };
        self.survey.runs.into_iter().map(imported).collect()
    }
}

/// Marks the runs that were imported before. Of two sessions that import the same log, the second one waits for
/// the first one's transaction.
fn find_known(survey: &mut Survey, owner: &str) -> Result<()> {
    let digests: Vec<String> = survey.runs.iter().map(SurveyedRun::digest).collect();
    OwnLock::new("import", survey.lock_key()).wait_for_transaction();
    let args = [Arg::text(owner), Arg::texts(&digests)];
    let known: HashMap<String, (i64, String)> = connect(|| {
        tables::as_owner(|| {
            let rows = statement(
                "SELECT pg_catalog.max(id), attributes OPERATOR(pg_catalog.->>) 'log.digest', pg_catalog.max(agent)
                 FROM rag._runs
                 WHERE owner OPERATOR(pg_catalog.=) $1::pg_catalog.name
                 AND (attributes OPERATOR(pg_catalog.->>) 'log.digest') OPERATOR(pg_catalog.=) ANY ($2)
                 GROUP BY 2",
                &args,
            )?;
            let known = |row| Some((rows.text(row, 1)?, (rows.int8(row, 0)?, rows.text(row, 2)?)));
            Ok((0..rows.count).filter_map(known).collect())
        })
    })?;
    for (run, digest) in survey.runs.iter_mut().zip(&digests) {
        if let Some((id, agent)) = known.get(digest) {
            (run.id, run.agent, run.is_known) = (*id, agent.clone(), true);
        }
    }
    Ok(())
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

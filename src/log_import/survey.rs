//! What a log has, found before any of it is written: its runs, their times, their outermost steps, and a digest of
//! each run, by which it is known if the log is imported again.

use crate::log_import::values::{is_trace_id, json, text};
use ragstone_core::log::parse::{ParsedStep, StepStatus};
use std::collections::HashMap;

/// The result of the survey.
#[derive(Default)]
pub struct Survey {
    pub runs: Vec<SurveyedRun>,
    /// Indexes into `runs` by the id in the log; None for the lines without an id.
    indexes: HashMap<Option<Vec<u8>>, usize>,
    /// Step numbers by run and span id; 0 before a number is assigned, and negative after the step has been written.
    pub spans: HashMap<(usize, Vec<u8>), i64>,
    /// The bytes of a step, for its digest.
    bytes: Vec<u8>,
}

/// A run of the log.
#[derive(Default)]
pub struct SurveyedRun {
    pub id: i64,
    pub key: Option<Vec<u8>>,
    pub agent: String,
    pub first_us: Option<i64>,
    pub last_us: Option<i64>,
    pub steps: i32,
    pub unknown: i32,
    /// True if it was imported before.
    pub is_known: bool,
    /// The outermost step that has no parent at all.
    root: Option<RootStep>,
    /// The earliest one whose parent is not in the log, such as that of a web request around an agent.
    orphan: Option<RootStep>,
    /// The worst status of the outermost steps, and the last error.
    status: Option<StepStatus>,
    error: Option<String>,
    digest: [u64; 2],
}

/// The outermost step of a run.
pub struct RootStep {
    pub name: Option<String>,
    pub input: Option<String>,
    pub output: Option<String>,
    started_us: Option<i64>,
    parent: Option<String>,
    error: Option<String>,
    status: StepStatus,
}

impl Survey {
    /// Sees a step in the first pass.
    pub fn see(&mut self, row: &ParsedStep<'_>) {
        let index = self.index(row.run);
        let run = &mut self.runs[index];
        run.steps += 1;
        run.unknown += i32::from(row.format.is_none());
        if let Some(started) = row.started_us {
            let ended = started.saturating_add((row.duration_ms.unwrap_or_default() * 1000.0) as i64);
            run.first_us = Some(run.first_us.map_or(started, |first| first.min(started)));
            run.last_us = Some(run.last_us.map_or(ended, |last| last.max(ended)));
        }
        bytes_of(row, &mut self.bytes);
        run.digest = run.digest.map(|before| hash(&self.bytes, before));
        if let Some(span) = row.span {
            self.spans.insert((index, span.to_vec()), 0);
        }
    }

    /// Sees a step in the second pass, when all ids are known.
    pub fn see_outermost(&mut self, row: &ParsedStep<'_>) {
        let index = self.index(row.run);
        let parent = row.parent.filter(|parent| row.span != Some(parent));
        if parent.is_some_and(|parent| self.spans.contains_key(&(index, parent.to_vec()))) {
            return;
        }
        let run = &mut self.runs[index];
        let is_worse = run.status.is_none_or(|before| severity(row.status) > severity(before));
        if is_worse {
            run.status = Some(row.status);
        }
        if row.status == StepStatus::Error {
            run.error = row.error.map(text).or(run.error.take());
        }
        let place = if parent.is_none() { &mut run.root } else { &mut run.orphan };
        let is_earlier = place.as_ref().is_none_or(|root| row.started_us < root.started_us);
        if row.span.is_some() && is_earlier {
            *place = Some(RootStep {
                name: row.name.map(text),
                input: row.input.and_then(json),
                output: row.output.and_then(json),
                started_us: row.started_us,
                parent: parent.map(text),
                error: row.error.map(text),
                status: row.status,
            });
        }
    }

    /// Completes the digests of the runs with what is not in their steps.
    pub fn finish_digests(&mut self, agent: Option<&str>) {
        for run in &mut self.runs {
            let mut key = run.key.clone().unwrap_or_default();
            key.push(0);
            key.extend_from_slice(agent.unwrap_or_default().as_bytes());
            // The two halves must not be the same hash.
            run.digest = [hash(&key, run.digest[0]), hash(&key, !run.digest[1])];
        }
    }

    /// The key of the lock that imports of the same log share.
    pub fn lock_key(&self) -> u64 {
        self.runs.iter().fold(0, |key, run| key ^ run.digest[0])
    }

    /// The index of a run.
    pub fn index(&mut self, run: Option<&[u8]>) -> usize {
        let key = run.map(<[u8]>::to_vec);
        *self.indexes.entry(key).or_insert_with_key(|key| {
            self.runs.push(SurveyedRun {
                key: key.clone(),
                digest: [FNV_OFFSET, !FNV_OFFSET],
                ..SurveyedRun::default()
            });
            self.runs.len() - 1
        })
    }
}

impl SurveyedRun {
    /// The step that stands for the run.
    pub fn root(&self) -> Option<&RootStep> {
        self.root.as_ref().or(self.orphan.as_ref())
    }

    /// The span around the run, which is not in the log.
    pub fn outer_span(&self) -> Option<String> {
        let parent = self.root().and_then(|root| root.parent.as_ref())?;
        let is_span = parent.len() == 16 && is_trace_id(&parent.repeat(2));
        is_span.then(|| parent.to_ascii_lowercase())
    }

    /// The status and the error: those of the outermost step if it has no parent, otherwise the worst status of all
    /// steps that no other step of the log contains.
    pub fn outcome(&self) -> (StepStatus, Option<&str>) {
        match &self.root {
            Some(root) => (root.status, root.error.as_deref()),
            None => (self.status.unwrap_or(StepStatus::Ok), self.error.as_deref()),
        }
    }

    /// The digest of the steps, in hexadecimal digits.
    pub fn digest(&self) -> String {
        format!("{:016x}{:016x}", self.digest[0], self.digest[1])
    }
}

/// The hash of no bytes.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn severity(status: StepStatus) -> u8 {
    match status {
        StepStatus::Ok => 0,
        StepStatus::Running => 1,
        StepStatus::Cancelled => 2,
        StepStatus::Error => 3,
    }
}

/// All that a step says; the number of its line may change when a log is cut at its beginning.
fn bytes_of(row: &ParsedStep<'_>, out: &mut Vec<u8>) {
    out.clear();
    let texts = [
        row.span,
        row.parent,
        row.name,
        row.input,
        row.output,
        row.model,
        row.error,
        row.attributes,
        row.raw,
    ];
    for text in texts {
        out.extend_from_slice(&text.map_or(u64::MAX, |text| text.len() as u64).to_ne_bytes());
        out.extend_from_slice(text.unwrap_or_default());
    }
    let numbers = [row.started_us, row.input_tokens, row.output_tokens];
    for number in numbers {
        out.extend_from_slice(&number.unwrap_or(i64::MIN).to_ne_bytes());
    }
    for number in [row.duration_ms, row.cost] {
        out.extend_from_slice(&number.unwrap_or(-1.0).to_bits().to_ne_bytes());
    }
    out.extend_from_slice(row.kind.name().as_bytes());
    out.extend_from_slice(row.status.name().as_bytes());
}

/// FNV-1a (Fowler, Noll and Vo), which stays the same in all versions, after the bytes whose hash is `before`.
fn hash(bytes: &[u8], before: u64) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(before, mix)
}

//! Shows the time of each step as a bar.

use super::format::milliseconds;
use super::model::{TraceRun, TraceStep, TraceStyle};

/// Width of the bar, characters.
const BAR_WIDTH: usize = 20;

/// The time from the start to the end of a run and its steps, whose times may come from different clocks.
#[derive(Clone, Copy)]
pub struct Timeline {
    started_us: i64,
    length_ms: f64,
}

impl Timeline {
    pub fn of(run: &TraceRun, steps: &[TraceStep]) -> Self {
        let begins = steps.iter().map(|step| step.started_us);
        let started_us = begins.fold(run.started_us, i64::min);
        let ends = run.finished_us.into_iter().chain(steps.iter().map(TraceStep::end_us));
        let end = ends.fold(started_us, i64::max);
        Self { started_us, length_ms: milliseconds(started_us, end) }
    }

    pub fn bar(&self, step: &TraceStep, style: TraceStyle) -> String {
        let (full, empty) = if style.ascii { ('=', '.') } else { ('█', '·') };
        if self.length_ms <= 0.0 {
            return empty.to_string().repeat(BAR_WIDTH);
        }
        let column = |ms: f64| (ms / self.length_ms * BAR_WIDTH as f64).clamp(0.0, BAR_WIDTH as f64);
        let begin_ms = milliseconds(self.started_us, step.started_us);
        let from = (column(begin_ms).floor() as usize).min(BAR_WIDTH - 1);
        let to = (column(begin_ms + step.duration_ms.unwrap_or(0.0)).round() as usize).max(from + 1);
        (0..BAR_WIDTH).map(|at| if (from..to).contains(&at) { full } else { empty }).collect()
    }
}

//! LangChain and LangGraph: events of `astream_events` and of callbacks, two of which make a step, and runs of tracers,
//! each of which is a step.

mod answer;
mod events;
mod nodes;
mod runs;

pub use events::OpenSteps;
pub use runs::run;

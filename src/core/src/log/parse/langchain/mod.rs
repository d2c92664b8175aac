//! LangChain and LangGraph: the events of `astream_events` and of callbacks, of which two make a step, and the runs of tracers,
//! of which each is one.

mod answer;
mod events;
mod nodes;
mod runs;

pub use events::OpenSteps;
pub use runs::run;

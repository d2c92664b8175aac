//! What an agent does next, told from what it has done.
//!
//! A run is a list of events: what it was asked, what its model said, what became of the tools' calls. [`next`] looks at them
//! and says what is to be done; whoever does it adds an event and asks again. Nothing else is remembered, so a run that was
//! broken off anywhere goes on from its events as if it never had been.

mod conversation;
mod event;
mod next;
mod repeats;

pub use event::{Called, Event, Fate, Form, Said, ToolCall, tool_calls};
pub use next::{Action, Ask, Limits, Plan, Spent, Stop, ToolFacts, next, spent};

//! The state machine of an agent's run.
//!
//! A run is a list of events: its input, the model's replies, and the states of the tool calls. [`next()`] returns the action
//! that follows from them; the caller carries it out, adds an event and calls [`next()`] again. There is no other state, so a
//! run that was interrupted at any point continues from its events.

mod action;
mod conversation;
mod event;
mod next;
mod repeats;
mod spec;
mod usage;

pub use action::{Action, ModelRequest, StopReason};
pub use event::{CallState, CallUpdate, Event, ModelReply, ReplyFormat, ToolCall, tool_calls};
pub use next::next;
pub use spec::{AgentSpec, RunLimits, ToolSpec};
pub use usage::{RunUsage, run_usage};

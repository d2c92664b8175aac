//! The wire protocols: turn requests into the JSON that each provider reads, and parse its answers. No file here opens
//! a connection.

pub mod protocol;

pub mod reply;

pub mod error;

mod json;

mod loose;

mod conversation;

pub mod thoughts;

mod embeddings;

mod openai_reply;

mod openai;

mod anthropic;

mod gemini;

mod cohere;

mod tei;

#[cfg(test)]
mod tests;

use ragstone_core::provider::Wire;

use self::protocol::Protocol;

/// The implementation of a protocol.
pub fn of(wire: Wire) -> &'static dyn Protocol {
    match wire {
        Wire::OpenAi => &openai::OpenAi,
        Wire::Anthropic => &anthropic::Anthropic,
        Wire::Gemini => &gemini::Gemini,
        Wire::Cohere => &cohere::Cohere,
        Wire::Tei => &tei::Tei,
    }
}

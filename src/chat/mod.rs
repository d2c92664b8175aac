//! Conversations: sessions with their messages, answered from a collection or by a language model alone.

mod history;
pub mod memory;
mod persona;
mod session;
mod step;
mod stream;
mod turn;

pub use crate::chat::persona::{NewPersona, set_persona};
pub use crate::chat::session::{NewSession, create_session, delete_session, give_feedback};
pub use crate::chat::step::chat_as_step;
pub use crate::chat::stream::{ChatPieces, chat_stream};
pub use crate::chat::turn::Turn;

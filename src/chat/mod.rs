//! Conversations: sessions and their messages. Answers come from a collection, or from a language model
//! alone.

mod history;
pub mod memory;
mod persona;
mod session;
mod step;
mod stream;
mod turn;

pub use persona::{NewPersona, set_persona};
pub use session::{NewSession, create_session, delete_session, give_feedback};
pub use step::chat_as_step;
pub use stream::{ChatDeltas, chat_stream};
pub use turn::Turn;

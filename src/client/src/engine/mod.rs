//! Connections to the engine: a request and its answer ([`client`], [`call`]), what is sent without an answer
//! ([`one_way`]), and what the engine hands over to a database's worker ([`mailbox`]).

pub mod call;
pub mod client;
mod connection;
mod launch;
pub mod mailbox;
pub mod one_way;
pub mod pieces;
pub mod replay;

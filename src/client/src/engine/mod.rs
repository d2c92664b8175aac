//! Connections to the engine: requests and their answers ([`client`], [`call`]), messages without an answer ([`one_way`]),
//! and the mailboxes that the engine keeps for a database's worker ([`mailbox`]).

pub mod call;
pub mod client;
mod connection;
mod launch;
pub mod mailbox;
pub mod one_way;
pub mod pieces;
pub mod replay;

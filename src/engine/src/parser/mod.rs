//! Parses documents, each in a process of its own.
//!
//! Parsers read hostile files: one may use up memory, overflow the stack, never end, or be made to run foreign code. So there
//! are three kinds of process:
//!
//! 1. The engine (`pool.rs`) makes a pair of sockets for a document, and passes one of them to the launcher.
//! 2. The launcher (`launcher.rs`) is started before the engine enters its sandbox, in which no program can be started. It
//!    starts a child for each socket, and kills it at the time limit or when the engine closes its socket. It reads nothing
//!    of a document.
//! 3. The child (`child.rs`) limits its memory and processor time, enters a sandbox in which there are no files, no network
//!    and no other processes, and then reads the document from the socket and writes the result to it.

pub mod child;

pub mod error;

pub mod launcher;

pub mod pool;

pub mod control;

mod ending;

mod seal;

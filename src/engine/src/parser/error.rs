//! Why a document is not parsed, with the messages that SQL users read.

use ragstone_core::{failure::FailureKind, protocol::ParseRefusal};
use thiserror::Error;

/// Why a document is not parsed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// The parser refuses it.
    #[error("{}", refusal_message(.0))]
    Refused(ParseRefusal),
    /// The parser took longer than the limit, milliseconds.
    #[error("parsing the document took longer than {0} ms")]
    OutOfTime(u32),
    /// The parser needed more memory than the limit, MB.
    #[error("parsing the document takes more than {0} MB of memory")]
    OutOfMemory(u32),
    /// The stack of the parser overflowed.
    #[error("the document is nested too deeply to be parsed")]
    TooDeep,
    /// The parser crashed.
    #[error("the parser crashed while it read the document")]
    Crashed,
    /// Another process killed the parser.
    #[error("the parser was killed while it read the document")]
    Killed,
    /// The system started no process.
    #[error("cannot start a parser")]
    NotStarted,
}

impl DocumentError {
    /// Decides the SQLSTATE.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Refused(ParseRefusal::OverLimit(_))
            | Self::OutOfTime(_)
            | Self::OutOfMemory(_)
            | Self::TooDeep => FailureKind::OverLimit,
            Self::Refused(_) | Self::Crashed => FailureKind::UnreadableFile,
            Self::Killed => FailureKind::EngineLost,
            Self::NotStarted => FailureKind::Unavailable,
        }
    }

    /// What the user can do, or empty.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused(ParseRefusal::UnknownType(_)) => {
                "See the documentation of rag.parse for the types that can be parsed."
            }
            Self::Refused(ParseRefusal::Encrypted(_)) => "Store the document without a password.",
            Self::OutOfTime(_) => "Raise rag.parse_timeout.",
            Self::OutOfMemory(_) => "Raise rag.parse_memory.",
            Self::Killed => "Try again; the system may be short of memory.",
            Self::NotStarted => "Look for lines of ragstone-engine in the server's log.",
            Self::Refused(_) | Self::TooDeep | Self::Crashed => "",
        }
    }

    /// A fact that explains the message, or empty.
    pub fn detail(&self) -> String {
        match self {
            Self::Refused(ParseRefusal::Malformed { reason, .. }) => format!("The parser reports: {reason}."),
            _ => String::new(),
        }
    }
}

fn refusal_message(refusal: &ParseRefusal) -> String {
    match refusal {
        ParseRefusal::UnknownType(name) if name.is_empty() => {
            "the type of the document is not known".to_owned()
        }
        ParseRefusal::UnknownType(name) => format!("the type of document \"{name}\" is not known"),
        ParseRefusal::Encrypted(format) => format!("the document ({format}) is protected by a password"),
        ParseRefusal::Malformed { format, .. } => format!("the document is not valid {format}"),
        ParseRefusal::OverLimit(limit) => format!("the document is over a limit: {limit}"),
    }
}

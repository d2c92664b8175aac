//! How a child ended, as the launcher tells the engine.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use rustix::process::Signal;

/// The end of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has written the result.
    Done,
    /// It took more than the time limit.
    OutOfTime,
    /// It asked for more memory than the limit allows.
    OutOfMemory,
    /// Its stack overflowed.
    StackOverflow,
    /// It crashed.
    Crashed,
    /// Another process killed it.
    Killed,
    /// It could not be started.
    NotStarted,
}

const ALL: [Ending; 7] = [
    Ending::Done,
    Ending::OutOfTime,
    Ending::OutOfMemory,
    Ending::StackOverflow,
    Ending::Crashed,
    Ending::Killed,
    Ending::NotStarted,
];

impl Ending {
    /// The ending as the last byte on the socket.
    pub fn to_byte(self) -> u8 {
        ALL.iter().position(|ending| *ending == self).unwrap_or_default() as u8
    }

    /// The ending that the byte stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        ALL.get(usize::from(byte)).copied()
    }

    /// The ending of a child that was not killed by the launcher, from its status and its last words on standard error, which are
    /// those of Rust's runtime.
    pub fn of(status: ExitStatus, last_words: &[u8]) -> Self {
        let says = |words: &[u8]| last_words.windows(words.len()).any(|window| window == words);
        let signal = status.signal();
        if status.success() {
            Self::Done
        } else if says(b"memory allocation of") {
            Self::OutOfMemory
        } else if says(b"has overflowed its stack") {
            Self::StackOverflow
        } else if signal == Some(Signal::XCPU.as_raw()) {
            Self::OutOfTime
        } else if signal == Some(Signal::KILL.as_raw()) || signal == Some(Signal::TERM.as_raw()) {
            Self::Killed
        } else {
            Self::Crashed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_survive_the_trip() {
        for ending in ALL {
            assert_eq!(Ending::from_byte(ending.to_byte()), Some(ending));
        }
        assert_eq!(Ending::from_byte(200), None);
    }

    #[test]
    fn the_end_of_a_child_is_told_from_its_status_and_last_words() {
        for (status, words, expected) in [
            (0, "", Ending::Done),
            (6, "memory allocation of 4096 bytes failed", Ending::OutOfMemory),
            (6, "\nthread 'parser' has overflowed its stack\n", Ending::StackOverflow),
            (11, "", Ending::Crashed),
            (1 << 8, "", Ending::Crashed),
            (24, "", Ending::OutOfTime),
            (9, "", Ending::Killed),
        ] {
            assert_eq!(Ending::of(ExitStatus::from_raw(status), words.as_bytes()), expected);
        }
    }
}

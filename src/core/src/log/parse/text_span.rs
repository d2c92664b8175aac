//! Texts of a step as ranges of the buffers that hold them.

/// The buffer that holds the bytes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextSource {
    /// There is no text.
    #[default]
    Nowhere,
    /// The log.
    Log,
    /// The buffer for texts that were composed for the step.
    Scratch,
    /// The list of the parser's own keys, whose index is `start`.
    OwnKeys,
}

/// A text as a range of a buffer, so that it is not copied until the step is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextSpan {
    pub(super) source: TextSource,
    start: u32,
    end: u32,
}

impl TextSpan {
    /// No text.
    pub const NONE: Self = Self { source: TextSource::Nowhere, start: 0, end: 0 };

    /// A part of the log.
    pub fn log(start: usize, end: usize) -> Self {
        Self { source: TextSource::Log, start: start as u32, end: end as u32 }
    }

    /// A range of the texts that were composed for the step.
    pub fn scratch(start: usize, end: usize) -> Self {
        Self { source: TextSource::Scratch, start: start as u32, end: end as u32 }
    }

    /// True if there is no text.
    pub fn is_none(self) -> bool {
        self.source == TextSource::Nowhere
    }

    /// True if there is a text.
    pub fn is_some(self) -> bool {
        self.source != TextSource::Nowhere
    }

    /// This text, or `other` if there is none.
    pub fn or(self, other: Self) -> Self {
        if self.is_some() { self } else { other }
    }

    /// Start offset in its buffer.
    pub fn start(self) -> usize {
        self.start as usize
    }

    /// End offset in its buffer.
    pub fn end(self) -> usize {
        self.end as usize
    }
}

/// Keys of attributes that the parser adds itself.
pub(super) const OWN_KEYS: &[&str] = &[
    "unparsed",
    "level",
    "pieces",
    "message",
    "name",
    "event",
    "events",
    "resource",
    "scope",
    "time",
    "process",
    "client",
    "http_status",
    "bytes",
    "source",
    "stack",
    "interrupts",
];

/// One of the parser's own keys.
pub fn own_key(name: &str) -> TextSpan {
    let index = OWN_KEYS.iter().position(|known| *known == name).unwrap_or_default();
    TextSpan { source: TextSource::OwnKeys, start: index as u32, end: 0 }
}

//! What the command line of a bench program says.

use clap::Parser;

/// Options that all bench programs have; cargo adds `--bench` by itself.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// Which parts to run; all where none is named.
    pub parts: Vec<String>,
    /// Full sizes, for figures to publish; without it each part runs once over little data.
    #[arg(long, env = "RAGSTONE_BENCH_FULL")]
    pub full: bool,
    /// As cargo calls benches.
    #[arg(long, hide = true)]
    pub bench: bool,
    /// As cargo calls benches that are to be run once.
    #[arg(long, hide = true)]
    pub test: bool,
}

impl Options {
    /// Whether a part is to be run.
    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|name| name == part)
    }

    /// One of two sizes.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.full { full } else { quick }
    }
}

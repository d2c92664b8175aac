//! The command line of a bench program.

use clap::Parser;

/// Options that all bench programs have; cargo adds `--bench` itself.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// The parts to run; empty for all.
    pub parts: Vec<String>,
    /// Full sizes, for figures to publish; otherwise each part runs once over little data.
    #[arg(long, env = "RAGSTONE_BENCH_FULL")]
    pub full: bool,
    /// Set by cargo for a bench run.
    #[arg(long, hide = true)]
    pub bench: bool,
    /// Set by cargo if benches are run once as tests.
    #[arg(long, hide = true)]
    pub test: bool,
}

impl Options {
    /// True if a part must be run.
    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|name| name == part)
    }

    /// The size for a full or a quick run.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.full { full } else { quick }
    }
}

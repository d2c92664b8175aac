//! Real passages of documentation that Debian packages, and queries for them.

use crate::packages::{cache, unpacked};
use crate::reference::run_script;
use anyhow::{Context, Result};
use ragstone_tests::copy::copy_rows;
use ragstone_tests::session::Session;
use std::fs;
use std::path::Path;

/// One package, which suffices to show that a bench works.
const FEW: &[&str] = &["debian-policy"];

/// Packages with about 187,000 passages, 190 MB.
const MANY: &[&str] = &[
    "openjdk-17-doc",
    "python3.11-doc",
    "libboost1.74-doc",
    "linux-doc-6.1",
    "qtbase5-doc-html",
    "r-doc-html",
    "octave-doc",
    "debian-policy",
    "maint-guide",
    "tomcat10-docs",
    "libreoffice-help-en-us",
];

/// Passages, and headings as queries.
#[derive(Debug)]
pub struct Passages {
    /// Name of the page, and text, of each passage.
    pub rows: Vec<(String, String)>,
    /// Number of words of a query (9 stands for more), and the query.
    pub queries: Vec<(usize, String)>,
}

impl Passages {
    /// Splits the packages' pages into passages. Fetches the packages if they are missing.
    pub fn load(full: bool) -> Result<Self> {
        let kind = if full { "passages" } else { "passages-few" };
        for package in if full { MANY } else { FEW } {
            unpacked(package, kind)?;
        }
        let made = tempfile::tempdir()?;
        run_script("passages.py", &[&cache().join(kind), made.path()])?;
        let rows = lines(&made.path().join("passages.tsv"), |fields| {
            let [_, page, text] = fields else { return None };
            Some(((*page).to_owned(), (*text).to_owned()))
        })?;
        let queries = lines(&made.path().join("queries.tsv"), |fields| {
            let [length, query] = fields else { return None };
            Some((length.parse().ok()?, (*query).to_owned()))
        })?;
        Ok(Self { rows, queries })
    }
}

/// Creates the table `p` with rows of name and text.
pub async fn table(session: &Session, rows: &[(String, String)]) -> Result<()> {
    session.batch_execute("CREATE TABLE p (id int PRIMARY KEY, page text, body text)").await?;
    let lines = (1..).zip(rows).map(|(id, (page, body))| vec![id.to_string(), page.clone(), body.clone()]);
    copy_rows(session, "p", lines).await?;
    session.batch_execute("VACUUM ANALYZE p").await?;
    Ok(())
}

fn lines<T>(file: &Path, read: impl Fn(&[&str]) -> Option<T>) -> Result<Vec<T>> {
    let text = fs::read_to_string(file)?;
    text.split_terminator('\n')
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            read(&fields).with_context(|| format!("not as expected: {line:?}"))
        })
        .collect()
}

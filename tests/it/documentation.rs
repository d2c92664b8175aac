//! Runs the SQL in README.md and docs/. setup/reference.py runs the SQL of docs/reference/ and compares its
//! outputs.

use anyhow::{Context, bail};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::harness::test;
use ragstone_tests::manual;
use ragstone_tests::prose::sql_blocks;
use ragstone_tests::server::{run, shared};
use std::fs;
use std::path::{Path, PathBuf};

/// Number of pages of the manual that the examples search.
const PAGES: usize = 25;

pub fn tests() -> Vec<Trial> {
    files()
        .into_iter()
        .map(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            test(&format!("documentation::the_sql_of_{name}_runs"), move || sql_runs(path))
        })
        .collect()
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = fs::read_dir(root.join("docs")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    files.push(root.join("README.md"));
    files.retain(|path| fs::read_to_string(path).is_ok_and(|text| !sql_blocks(&text).is_empty()));
    files.sort();
    files
}

/// Runs a file's blocks one after the other in one database, as a reader would. The database has the table
/// `pages`, and, unless the file creates them itself, the extension and the collection `manual`.
async fn sql_runs(path: PathBuf) -> Result<()> {
    let text = fs::read_to_string(&path)?;
    let server = shared().await?;
    let database = server.empty_database("").await?;
    let session = server.connect(&database).await?;
    session.batch_execute("CREATE TABLE pages (id int PRIMARY KEY, title text, url text, body text)").await?;
    let insert = "INSERT INTO pages VALUES ($1, $2, $3, $4)";
    let pages = manual::pages()?
        .into_iter()
        .filter(|page| page.url.starts_with("backup") || page.url.starts_with("tutorial"));
    for (page, id) in pages.take(PAGES).zip(1..) {
        session.execute(insert, &[&id, &page.title, &page.url, &page.body]).await?;
    }
    if !text.contains("CREATE EXTENSION ragstone") {
        session.batch_execute("CREATE EXTENSION ragstone CASCADE").await?;
        if !text.contains("create_collection('manual'") {
            let create = "SELECT rag.create_collection('manual', 'pages', 'body', 'title', '{url}')";
            session.batch_execute(create).await?;
            session.batch_execute("SELECT rag.wait_until_current('manual')").await?;
        }
    }
    for block in sql_blocks(&text).into_iter().filter(|block| block.tag.is_empty()) {
        let script = server.folder().join(format!("{database}.sql"));
        fs::write(&script, &block.sql)?;
        let mut psql = server.client("psql")?;
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &database, "-f"]).arg(&script);
        if let Err(error) = run(&mut psql) {
            bail!("{}:{}: {error}", path.display(), block.line);
        }
    }
    session.close().await.context("the session is gone")
}

//! Upgrades from one version of the SQL objects to the next.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;
use std::process::Command;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![every_way_to_this_version_gives_the_same_catalogue]
}

/// Versions that can be installed and updated from: those of `sql/upgrade/`; none before the first tag.
const OLDER: &str = "SELECT coalesce(array_agg(version ORDER BY version), '{}')
    FROM pg_available_extension_versions v
    JOIN pg_available_extensions e USING (name)
    JOIN pg_extension_update_paths(name) p ON p.source = version AND p.target = e.default_version
    WHERE name = 'ragstone' AND p.path IS NOT NULL";

/// A fresh install is one of the ways, so that an install that differs each time is found as well.
async fn every_way_to_this_version_gives_the_same_catalogue() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let older: Vec<String> = session.value(OLDER).await?;
    if let Some(tagged) = last_tagged() {
        ensure!(
            older.contains(&tagged),
            "{tagged} is tagged: sql/upgrade/ must have ragstone--{tagged}.sql and a script that updates it"
        );
    }
    let expected = catalogue(&session).await?;
    ensure!(!expected.is_empty());
    let compared = catalogue(&server.session().await?).await?;
    expect_same(&expected, &compared).context("another fresh install")?;
    for version in &older {
        let compared = catalogue(&upgraded(&server, version).await?).await?;
        expect_same(&expected, &compared).with_context(|| format!("an upgrade from {version}"))?;
    }
    Ok(())
}

/// A database with the extension as `version` created it, after the update.
async fn upgraded(server: &Server, version: &str) -> Result<Session> {
    let session = server.connect(&server.empty_database("").await?).await?;
    session
        .batch_execute(&format!("CREATE EXTENSION vector; CREATE EXTENSION ragstone VERSION '{version}'"))
        .await?;
    session.batch_execute("ALTER EXTENSION ragstone UPDATE").await?;
    Ok(session)
}

async fn catalogue(session: &Session) -> Result<Vec<String>> {
    let rows = session.query(include_str!("catalogue.sql"), &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn expect_same(fresh: &[String], other: &[String]) -> Result<()> {
    let without = |lines: &[String], others: &[String]| {
        lines.iter().filter(|line| !others.contains(line)).cloned().collect::<Vec<_>>().join("\n")
    };
    let (missing, superfluous) = (without(fresh, other), without(other, fresh));
    ensure!(fresh == other, "only in a fresh install:\n{missing}\nonly in the other one:\n{superfluous}");
    Ok(())
}

/// The last tagged version (such as `v0.5.0`) before this one, if the checkout has its tags.
fn last_tagged() -> Option<String> {
    let mut git = Command::new("git");
    git.current_dir(env!("CARGO_MANIFEST_DIR"));
    git.args(["tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname"]);
    let tags = String::from_utf8(git.output().ok()?.stdout).ok()?;
    let mut versions = tags.lines().filter_map(|tag| tag.strip_prefix('v'));
    versions.find(|version| *version != env!("CARGO_PKG_VERSION")).map(str::to_owned)
}

//! Upgrades from one major version of PostgreSQL to another.

use crate::followed::{current, embedded};
use crate::restore::{follows, found, make, name};
use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::install::Installation;
use ragstone_tests::server::Server;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![pg_upgrade_keeps_what_follows_its_source]
}

async fn pg_upgrade_keeps_what_follows_its_source() -> Result<()> {
    let newer = Installation::newer()?;
    let old = Server::start().await?;
    ensure!(newer.major > old.install.major, "{} is not newer than {}", newer.major, old.install.major);
    let session = old.session().await?;
    make(&session, 60, 25, "background").await?;
    let (expected, database) = (found(&session).await?, name(&session).await?);
    session.close().await?;
    old.stop(Signal::SIGINT)?;
    let new = Server::upgraded_from(&old, newer)?;
    new.restart().await?;
    let session = new.connect(&database).await?;
    let state: String = session.value("SELECT state FROM rag.collections").await?;
    ensure!(state == "current", "{state}");
    ensure!(found(&session).await? == expected, "an upgraded collection finds something else");
    current(&session).await?;
    let texts = embedded(&session).await?;
    ensure!(texts == 2, "{texts} texts were embedded for two queries");
    // A renamed column is found by its attribute number, which has not changed.
    session.batch_execute("ALTER TABLE t RENAME COLUMN title TO heading").await?;
    follows(&session).await?;
    let title: String = session.value("SELECT title::text FROM rag.collections").await?;
    ensure!(title == "heading", "{title}");
    Ok(())
}

//! An old dump refers to lost tables by OID. In the server into which it is restored, these OIDs belong to
//! tables of other users.

use crate::followed::current;
use crate::restore::{Format, dump, make};
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server, run, shared};
use ragstone_tests::session::Session;
use std::fs;
use std::path::{Path, PathBuf};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![restores_touch_none_of_five_thousand_other_tables]
}

/// Number of restores, unless `RAGSTONE_RESTORES` sets another number.
const RESTORES: usize = 3;

/// Collections of which each will lose a different table, and one that will lose all.
const LOST: &str = "
    CREATE SCHEMA app;
    DO $$ DECLARE what text; BEGIN
      FOREACH what IN ARRAY '{source,manual_source,chunks,terms,all}'::text[] LOOP
        EXECUTE format('CREATE TABLE app.no_%s (id int PRIMARY KEY, body text)', what);
        EXECUTE format('INSERT INTO app.no_%s VALUES (1, ''a page about lighthouses'')', what);
        PERFORM rag.create_collection(('no_' || what)::name, ('app.no_' || what)::regclass, 'body',
                                      sync => CASE WHEN what ~ 'manual' THEN 'manual' ELSE 'background' END);
      END LOOP;
    END $$";

/// The tables that those collections lose.
const LOSE: [&str; 7] = [
    "app.no_source",
    "app.no_manual_source",
    "app.no_chunks_chunks",
    "app.no_terms_terms",
    "app.no_all",
    "app.no_all_chunks",
    "app.no_all_terms",
];

/// A dump as it is made today, and a dump that also has collections without chunk table or terms table, as
/// old dumps had.
async fn dumps(server: &Server) -> Result<([PathBuf; 2], Vec<u32>)> {
    let session = server.session().await?;
    make(&session, 5, 25, "background").await?;
    session.batch_execute(LOST).await?;
    session
        .batch_execute("SELECT rag.wait_until_current(name) FROM rag.collections WHERE sync <> 'manual'")
        .await?;
    let numbers = "SELECT array_agg(t::regclass::oid ORDER BY t::regclass::oid) FROM unnest($1::text[]) t";
    let numbers: Vec<u32> = session.value_of(numbers, &[&LOSE.map(str::to_owned).to_vec()]).await?;
    session.batch_execute(&format!("DROP TABLE {}", LOSE.join(", "))).await?;
    let path = dump(server, &session, Format::Custom).await?;
    let today = path.with_extension("today");
    fs::rename(&path, &today)?;
    session
        .batch_execute(
            "UPDATE pg_extension
             SET extcondition[array_position(extconfig, 'rag.collection'::regclass::oid)] = 'WHERE name !~ ''source'''
             WHERE extname = 'ragstone'",
        )
        .await?;
    Ok(([today, dump(server, &session, Format::Custom).await?], numbers))
}

/// A database with tables of other users, some of which have the OIDs of lost tables.
async fn others(server: &Server, numbers: &[u32]) -> Result<String> {
    server.stop(Signal::SIGINT)?;
    let first = numbers.first().copied().unwrap_or_default() - 100;
    run(server.install.command("pg_resetwal")?.args(["--next-oid", &first.to_string()]).arg(server.data()))?;
    server.restart().await?;
    let name = server.empty_database("").await?;
    let session = server.connect(&name).await?;
    for number in numbers {
        session
            .batch_execute(&format!(
                "DO $$ BEGIN WHILE lo_creat(-1)::int8 < {number} - 1 LOOP NULL; END LOOP; END $$;
                 CREATE TABLE hit_{number} (id int, body varchar(60));
                 SELECT lo_unlink(oid) FROM pg_largeobject_metadata"
            ))
            .await?;
        let made: u32 = session.value(&format!("SELECT 'hit_{number}'::regclass::oid")).await?;
        ensure!(made == *number, "a table has number {made} and not {number} of {numbers:?}");
    }
    // Indexes take OIDs, too, and the next one may be that of a lost table.
    for number in numbers {
        session
            .batch_execute(&format!(
                "ALTER TABLE hit_{number} ADD PRIMARY KEY (id);
                 INSERT INTO hit_{number} VALUES (1, 'an order of hit_{number}')"
            ))
            .await?;
    }
    session
        .batch_execute(
            "DO $$ BEGIN
               FOR i IN 1..5000 LOOP
                 EXECUTE format('CREATE TABLE shop_%s AS SELECT %s AS id, ''an order of shop %s''::varchar(60) AS body', i, i, i);
                 IF i % 100 = 0 THEN COMMIT; END IF;
               END LOOP;
             END $$",
        )
        .await?;
    Ok(name)
}

/// Definitions and rows of all tables of other users, as one hash.
const OTHERS: &str = "
    SELECT md5(string_agg(format('%s %s %s %s %s %s %s', c.oid, c.relname, c.relowner, c.relacl, c.relnatts, c.relhastriggers,
                                 query_to_xml(format('SELECT xmin, * FROM %s t', c.oid::regclass), false, false, '')), ' ' ORDER BY c.oid))
    FROM pg_class c WHERE c.relname ~ '^(shop|hit)_[0-9]+$'";

/// Fails unless collections that refer to tables by OID only refuse all operations of users. They can be
/// dropped.
async fn nothing_is_done_with(names: &[String], session: &Session) -> Result<()> {
    for name in names {
        for statement in [
            format!("SELECT * FROM rag.search('{name}', 'an order')"),
            format!("SELECT * FROM rag.ask('{name}', 'Which order?')"),
            format!("SELECT rag.refresh_collection('{name}')"),
            format!("SELECT rag.refresh_collection('{name}', text => true)"),
            format!("SELECT rag.alter_collection('{name}', language => 'german')"),
            format!("SELECT rag.alter_collection('{name}', chunk_size => 100)"),
        ] {
            let refusal = session.refusal(&statement).await.context(statement.clone())?;
            ensure!(matches!(refusal.code.as_str(), "42804" | "42809"), "{statement}: {refusal:?}");
        }
        session.batch_execute(&format!("SELECT rag.drop_collection('{name}')")).await?;
    }
    Ok(())
}

async fn restores_touch_none_of_five_thousand_other_tables() -> Result<()> {
    let source = shared().await?;
    let (dumps, numbers) = dumps(&source).await?;
    let target = Server::start_with(Options::default().set("max_locks_per_transaction", "256")).await?;
    let template = others(&target, &numbers).await?;
    let number = std::env::var("RAGSTONE_RESTORES").ok().and_then(|number| number.parse().ok());
    for place in 0..number.unwrap_or(RESTORES) {
        let is_of_old = place % 2 == 0;
        let lost: &[&str] = if is_of_old { &["no_all", "no_chunks", "no_terms"] } else { &[] };
        restore_beside(&target, &template, &dumps[usize::from(is_of_old)], lost).await?;
    }
    Ok(())
}

/// Restores a dump, in which these collections have lost tables, into a copy of the other users' database.
async fn restore_beside(server: &Server, template: &str, dump: &Path, lost: &[&str]) -> Result<()> {
    let session = server.connect("postgres").await?;
    session.batch_execute("DROP DATABASE IF EXISTS restored").await?;
    session.batch_execute(&format!("CREATE DATABASE restored TEMPLATE {template}")).await?;
    let session = server.connect("restored").await?;
    let before: String = session.value(OTHERS).await?;
    run(server.client("pg_restore")?.args(["--exit-on-error", "--dbname", "restored"]).arg(dump))?;
    let names =
        "SELECT coalesce(array_agg(name::text ORDER BY name), '{}') FROM rag.collection WHERE name <> 'c'";
    let names: Vec<String> = session.value(names).await?;
    ensure!(names == lost, "{names:?}");
    nothing_is_done_with(&names, &session).await?;
    // The worker has checked all collections when this one is current.
    current(&session).await?;
    ensure!(session.value::<String>(OTHERS).await? == before, "a table of others was touched");
    Ok(())
}

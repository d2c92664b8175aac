//! Neither the stored values of a row nor the results of a search depend on the settings of the session that
//! writes or searches.

use crate::followed::{current, embedded};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        former_text_is_hidden_under_any_settings,
        rows_are_the_same_with_all_settings,
        a_title_is_not_embedded_again_for_another_time_zone,
        a_failed_row_is_listed_once,
        filters_compare_values,
        a_filter_that_is_no_value_of_its_column_is_refused,
        policies_see_the_settings_of_the_caller,
    ]
}

/// Settings that change how values are written; no setting has the same value in both.
/// A command after which the worker compares all rows.
const COMPARE: &str = "ALTER TABLE t DISABLE TRIGGER USER; ALTER TABLE t ENABLE TRIGGER USER";

const SETTINGS: [&str; 2] = [
    "SET DateStyle = 'German'; SET TimeZone = 'Asia/Kolkata'; SET IntervalStyle = 'iso_8601'; SET bytea_output = 'escape';
     SET extra_float_digits = -10",
    "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'America/New_York'; SET IntervalStyle = 'sql_standard'; SET extra_float_digits = 3",
];

async fn former_text_is_hidden_under_any_settings() -> Result<()> {
    let session = shared().await?.session().await?;
    for (column, value) in [
        ("date", "2024-05-06"),
        ("timestamptz", "2024-05-06 12:00+00"),
        ("interval", "1 day 2 hours"),
        ("bytea", "\\x00ff"),
        ("float8", "0.1234567890123456"),
        ("tstzrange", "[2024-05-06 12:00+00,)"),
        ("date[]", "{2024-05-06}"),
    ] {
        session
            .batch_execute(&format!(
                "CREATE TABLE t (k {column} PRIMARY KEY, body text); INSERT INTO t VALUES ('{value}', 'the former text');
                 SELECT rag.create_collection('c', 't', 'body')"
            ))
            .await?;
        current(&session).await?;
        session.batch_execute("BEGIN; UPDATE t SET body = 'what it is now'").await?;
        for settings in SETTINGS {
            session.batch_execute(settings).await?;
            let shown: i64 = session.value("SELECT count(*) FROM rag.search('c', 'former text')").await?;
            ensure!(shown == 0, "a key of type {column} under {settings}");
        }
        session.batch_execute("ROLLBACK; SELECT rag.drop_collection('c'); DROP TABLE t").await?;
    }
    Ok(())
}

/// A table with values whose text depends on settings, and an immediate collection of it.
async fn make(session: &Session) -> Result<()> {
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, at timestamptz, i interval, b bytea, f float8, m money, a timestamptz[]);
             SELECT rag.create_collection('c', 't', 'body', title => 'at', metadata => '{at,i,b,f,m,a}', sync => 'immediate')",
        )
        .await?;
    current(session).await
}

/// Inserts a row with the same values under any settings.
async fn insert(session: &Session, id: i32) -> Result<()> {
    session
        .batch_execute(&format!(
            "INSERT INTO t VALUES ({id}, 'the harbour', '2024-05-05 12:00+00', make_interval(days => 1, hours => 2),
               decode('00ff', 'hex'), 0.1::float8 + 0.2::float8, 1.5::numeric::money, ARRAY[timestamptz '2024-05-05 12:00+00'])"
        ))
        .await?;
    Ok(())
}

async fn rows_are_the_same_with_all_settings() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    insert(&session, 1).await?;
    for (id, settings) in (2..).zip(SETTINGS) {
        session.batch_execute(settings).await?;
        insert(&session, id).await?;
    }
    let stored: i64 = session.value("SELECT count(DISTINCT metadata) FROM c_chunks").await?;
    ensure!(stored == 1, "{stored} metadata of one value");
    for settings in SETTINGS {
        session.batch_execute(settings).await?;
        let row =
            session.query_one("SELECT unchanged, changed FROM rag.refresh_collection('c')", &[]).await?;
        let (unchanged, changed): (i64, i64) = (row.get(0), row.get(1));
        ensure!((unchanged, changed) == (3, 0), "{changed} have changed under {settings}");
        let shown = "SELECT count(DISTINCT (s.metadata, s.title)) * 10 + count(*)
                     FROM rag.search('c', 'harbour') s JOIN c_chunks c ON c.metadata = s.metadata AND c.key_1::text = s.source_key ->> 'id'";
        let shown: i64 = session.value(shown).await?;
        ensure!(shown == 13, "{shown} under {settings}");
        let title: String = session.value("SELECT title FROM rag.search('c', 'harbour', k => 1)").await?;
        ensure!(title == "2024-05-05 12:00:00+00", "{title}");
    }
    Ok(())
}

async fn a_title_is_not_embedded_again_for_another_time_zone() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session).await?;
    session.batch_execute("SET TimeZone = 'Asia/Tokyo'").await?;
    insert(&session, 1).await?;
    session.batch_execute("RESET TimeZone").await?;
    let embedded_by = "SELECT embedded + changed FROM rag.refresh_collection('c')";
    let again: i64 = session.value(embedded_by).await?;
    ensure!(again == 0, "a refresh embeds {again}");
    // The worker compares all rows after a change of the table's definition.
    let hash = "SELECT encode(row_hash, 'hex') || chunk_id FROM c_chunks";
    let (before, stored): (i64, String) = (embedded(&session).await?, session.value(hash).await?);
    session.batch_execute(COMPARE).await?;
    current(&session).await?;
    let (after, compared): (i64, String) = (embedded(&session).await?, session.value(hash).await?);
    ensure!(stored == compared, "the row is stored anew; embedded before: {before}, after: {after}");
    Ok(())
}

async fn a_failed_row_is_listed_once() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (at timestamptz PRIMARY KEY, body text, note json);
             SELECT rag.create_collection('c', 't', 'body', metadata => '{note}');
             SET TimeZone = 'Asia/Kolkata';
             INSERT INTO t VALUES ('2024-01-01 00:00+00', 'a text', '{\"a\": \"\\u0000\"}')",
        )
        .await?;
    current(&session).await?;
    session.batch_execute(&format!("RESET TimeZone; {COMPARE}")).await?;
    current(&session).await?;
    let failed: String = session.value("SELECT string_agg(key::text, ' ') FROM rag.failed").await?;
    ensure!(failed == "{\"2024-01-01 00:00:00+00\"}", "{failed}");
    session.batch_execute("UPDATE t SET note = NULL").await?;
    current(&session).await?;
    let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
    ensure!(failed == 0, "{failed} are still listed");
    Ok(())
}

async fn filters_compare_values() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE DOMAIN day AS date;
             CREATE TABLE t (id int PRIMARY KEY, body text, at timestamptz, ts timestamp, d date, u uuid, i interval, b bytea,
                             n numeric, yes boolean, ip inet, days date[], w day, tag text, \"a \"\"b\" date);
             INSERT INTO t VALUES (1, 'a compressor', '2024-07-01 12:00+00', '2024-05-05 12:00', '2024-05-05',
               'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '26 hours', '\\x00ff', 1.50, true, '10.0.0.1', '{2024-05-05,2024-05-06}',
               '2024-05-05', '2024-5-5', '2024-05-05');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual',
               metadata => '{at,ts,d,u,i,b,n,yes,ip,days,w,tag,\"a \\\"b\"}')",
        )
        .await?;
    for settings in ["SET TimeZone = 'UTC'", "SET TimeZone = 'Europe/Berlin'; SET IntervalStyle = 'iso_8601'"]
    {
        session.batch_execute(settings).await?;
        for filter in [
            "'{\"at\": \"2024-07-01T12:00:00+00:00\"}'",
            "'{\"at\": \"2024-07-01 14:00+02\", \"n\": 1.5}'",
            "jsonb_build_object('at', timestamptz '2024-07-01 12:00+00')",
            "'{\"ts\": \"2024-05-05 12:00\"}'",
            "'{\"d\": \"2024-5-5\"}'",
            "'{\"u\": \"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"}'",
            "jsonb_build_object('i', interval '26 hours')",
            "'{\"b\": \"\\\\000\\\\377\"}'",
            "'{\"n\": \"1.50\"}'",
            "'{\"yes\": \"t\"}'",
            "'{\"ip\": \"10.0.0.1/32\"}'",
            "'{\"days\": [\"2024-5-6\"]}'",
            "'{\"w\": \"5 May 2024\"}'",
            "'{\"tag\": \"2024-5-5\"}'",
            "'{\"a \\\"b\": \"2024-5-5\"}'",
            "'{}'",
        ] {
            let sql = format!("SELECT count(*) FROM rag.search('c', 'compressor', filter => {filter})");
            let found: i64 = session.value(&sql).await?;
            ensure!(found == 1, "{filter} finds {found} under {settings}");
        }
        for filter in ["'{\"d\": \"2024-5-6\"}'", "'{\"d\": null}'", "'{\"tag\": \"2024-05-05\"}'"] {
            let sql = format!("SELECT count(*) FROM rag.search('c', 'compressor', filter => {filter})");
            ensure!(session.value::<i64>(&sql).await? == 0, "{filter} finds something");
        }
    }
    Ok(())
}

async fn a_filter_that_is_no_value_of_its_column_is_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text, d date); INSERT INTO t VALUES (1, 'a text', '2024-05-05');
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual', metadata => '{d}')",
        )
        .await?;
    for (filter, code) in
        [("{\"d\": \"soon\"}", "22007"), ("{\"d\": \"2024-02-31\"}", "22008"), ("{\"d\": 5}", "22007")]
    {
        let sql = format!("SELECT count(*) FROM rag.search('c', 'text', filter => '{filter}')");
        let refusal = session.refusal(&sql).await?;
        ensure!(refusal.code == code && refusal.detail.contains("column \"d\""), "{refusal:?}");
    }
    Ok(())
}

async fn policies_see_the_settings_of_the_caller() -> Result<()> {
    let session = shared().await?.session().await?;
    let reader: String = session.value("SELECT 'reader_of_' || current_database()").await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE {reader}; CREATE TABLE t (id int PRIMARY KEY, body text, at timestamptz, tags text[]);
             INSERT INTO t VALUES (1, 'a text', '2024-05-05 23:00+00', '{{a,NULL,b}}'), (2, 'a text', '2024-05-05 12:00+00', NULL);
             SELECT rag.create_collection('c', 't', 'body', metadata => '{{at,tags}}', sync => 'manual');
             GRANT SELECT ON t TO {reader}; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON t USING (at::text LIKE '2024-05-06%'); SET ROLE {reader}"
        ))
        .await?;
    for (zone, rows) in [("UTC", 0), ("Europe/Berlin", 1), ("Asia/Tokyo", 1)] {
        let set = format!("SET TimeZone = '{zone}'");
        session.batch_execute(&set).await?;
        let found: i64 = session.value("SELECT count(*) FROM rag.search('c', 'text')").await?;
        ensure!(found == rows, "{found} rows in {zone}");
    }
    let metadata: String = session.value("SELECT metadata::text FROM rag.search('c', 'text')").await?;
    ensure!(metadata == r#"{"at": "2024-05-05T23:00:00+00:00", "tags": ["a", null, "b"]}"#, "{metadata}");
    Ok(())
}

//! Logs that others have written: `rag.parse_log` and `rag.import_log`.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use std::fs;
use std::path::Path;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        jsonb_is_what_postgres_makes_of_the_same_json,
        unknown_lines_are_kept_and_counted,
        bytes_that_are_no_text_are_replaced_and_counted,
        other_encodings_replace_what_they_lack,
        a_trace_is_imported_with_its_parents,
        secrets_are_taken_out_of_what_is_imported,
        an_import_belongs_to_whoever_imports,
        formats_that_are_unknown_are_refused,
        a_long_log_can_be_cancelled,
    ]
}

fn fixture(name: &str) -> Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs");
    Ok(fs::read_to_string(folder.join(name))?)
}

async fn jsonb_is_what_postgres_makes_of_the_same_json() -> Result<()> {
    let session = shared().await?.session().await?;
    let odd = r#"{"b":1,"a":[1.50,-0,1e3,0.00001,123456789012345678901234567890,1e-70,9999,10000],"a":{"x":null,"":[],"é":{}},"long key of an object":true,"t":"\u00e9\n\"","n":[[],{},[[1]],false],"z":12345.6789}"#;
    let many: Vec<String> = (0..100).map(|n| format!(r#""k{n}":{n},"s{n}":"{}""#, "x".repeat(n))).collect();
    let many = format!("{{{}}}", many.join(","));
    for json in [odd, &many] {
        let log = format!(r#"{{"output":{json},"input":{json}}}"#);
        let sql = "SELECT output = $2::text::jsonb AND input = output AND output::text = $2::text::jsonb::text
                     AND jsonb_hash(output) = jsonb_hash($2::text::jsonb)
                     AND octet_length(jsonb_send(output)) = octet_length(jsonb_send($2::text::jsonb))
                     AND pg_column_size(jsonb_build_object('v', output)) = pg_column_size(jsonb_build_object('v', $2::text::jsonb))
                   FROM rag.parse_log($1)";
        let same: bool = session.value_of(sql, &[&log, &json]).await?;
        ensure!(same, "not the same jsonb: {json}");
    }
    let files = [
        "langgraph_events.jsonl",
        "langchain_runs.json",
        "otlp.json",
        "otel_console.json",
        "python.log",
        "json.jsonl",
    ];
    for file in files {
        let sql = "SELECT count(*) > 0 AND bool_and(output IS NOT DISTINCT FROM output::text::jsonb
                     AND input IS NOT DISTINCT FROM input::text::jsonb AND attributes IS NOT DISTINCT FROM attributes::text::jsonb
                     AND syntax IS NOT NULL) FROM rag.parse_log($1)";
        let same: bool = session.value_of(sql, &[&fixture(file)?]).await?;
        ensure!(same, "{file}");
    }
    Ok(())
}

async fn unknown_lines_are_kept_and_counted() -> Result<()> {
    let session = shared().await?.session().await?;
    let log = "what is this\nlevel=info msg=fine\n{\"truncated\": ";
    let sql = "SELECT string_agg(concat_ws('|', line, syntax, raw, attributes), E'\\n' ORDER BY line) FROM rag.parse_log($1)";
    let shown: String = session.value_of(sql, &[&log]).await?;
    let expected = "1|what is this|{\"unparsed\": true}\n2|logfmt|{\"level\": \"info\"}\n3|{\"truncated\": |{\"unparsed\": true}";
    ensure!(shown == expected, "{shown}");
    session.take_notices();
    let unknown: i32 = session.value_of("SELECT unknown FROM rag.import_log($1)", &[&log]).await?;
    let notices = session.take_notices();
    ensure!(
        unknown == 2 && notices.iter().any(|notice| notice.message.starts_with("2 lines")),
        "{notices:?}"
    );
    let kept: i64 = session.value("SELECT count(*) FROM rag.steps WHERE output = '\"what is this\"'").await?;
    ensure!(kept == 1, "{kept} steps");
    Ok(())
}

async fn bytes_that_are_no_text_are_replaced_and_counted() -> Result<()> {
    let session = shared().await?.session().await?;
    let log: &[u8] = b"level=info msg=\"caf\xe9 \xff\" zero=\"a\0b\"\n{\"msg\": \"\\u0000 \\ud800\"}";
    let sql = "SELECT string_agg(output::text || coalesce(attributes->>'zero', ''), ' ' ORDER BY line) FROM rag.parse_log($1::bytea)";
    let shown: String = session.value_of(sql, &[&log]).await?;
    ensure!(shown == "\"caf\u{fffd} \u{fffd}\"a\u{fffd}b \"\u{fffd} \u{fffd}\"", "{shown}");
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("3 bytes")), "{notices:?}");
    Ok(())
}

async fn other_encodings_replace_what_they_lack() -> Result<()> {
    let server = shared().await?;
    for (encoding, expected) in [("LATIN1", "café ? ?"), ("SQL_ASCII", "caf\u{fffd} 漢 \u{1f600}")] {
        let name = server.empty_database(&format!("ENCODING '{encoding}' LOCALE 'C'")).await?;
        let session: Session = server.connect(&name).await?;
        session.batch_execute("CREATE EXTENSION ragstone CASCADE").await?;
        let log = r#"E'{"msg": "caf\351 \\u6f22 \\ud83d\\ude00", "k\351\\u6f22": 1, "logger": "\\u6f22"}'"#;
        let sql = format!("SELECT output #>> '{{}}' FROM rag.parse_log({log})");
        let shown: String = session.value(&sql).await?;
        ensure!(shown == expected, "{encoding}: {shown}");
        let steps: i32 = session.value(&format!("SELECT steps FROM rag.import_log({log})")).await?;
        ensure!(steps == 1, "{encoding}: {steps}");
    }
    Ok(())
}

async fn a_trace_is_imported_with_its_parents() -> Result<()> {
    let session = shared().await?.session().await?;
    let made = session
        .query_one(
            "SELECT run_id, run_agent, steps, unknown FROM rag.import_log($1)",
            &[&fixture("otlp.json")?],
        )
        .await?;
    let (run, agent): (i64, String) = (made.get(0), made.get(1));
    ensure!(
        agent == "invoke_agent support" && made.get::<_, i32>(2) == 5 && made.get::<_, i32>(3) == 0,
        "{made:?}"
    );
    let sql = "SELECT count(*) FILTER (WHERE p.name = 'invoke_agent support') FROM rag.steps s JOIN rag.steps p ON p.id = s.parent_id WHERE s.run_id = $1";
    let children: i64 = session.value_of(sql, &[&run]).await?;
    ensure!(children == 4, "{children} children");
    let sql = "SELECT status || ' ' || extract(epoch FROM finished - started) FROM rag.runs WHERE id = $1";
    let state: String = session.value_of(sql, &[&run]).await?;
    ensure!(state == "done 2.500000", "{state}");
    let runs: i64 = session
        .value_of("SELECT count(*) FROM rag.import_log($1)", &[&fixture("langgraph_events.jsonl")?])
        .await?;
    ensure!(runs == 2, "{runs} runs");
    Ok(())
}

async fn secrets_are_taken_out_of_what_is_imported() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute("INSERT INTO rag.redactions (name, pattern, replacement) VALUES ('card', 'card-[0-9]+', '[card]')")
        .await?;
    session
        .execute("SELECT * FROM rag.import_log('level=info msg=\"paid with card-123\" card=card-456')", &[])
        .await?;
    session.execute("SELECT * FROM rag.import_log('unknown: card-789')", &[]).await?;
    let leaks: i64 = session.value("SELECT count(*) FROM rag.steps s WHERE s::text LIKE '%card-%'").await?;
    let kept: i64 = session.value("SELECT count(*) FROM rag.steps s WHERE s::text LIKE '%[card]%'").await?;
    ensure!((leaks, kept) == (0, 2), "{leaks} leaks, {kept} kept");
    Ok(())
}

async fn an_import_belongs_to_whoever_imports() -> Result<()> {
    let session = shared().await?.session().await?;
    let role = "parsing_importer";
    session
        .batch_execute(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role}; SET ROLE {role}"))
        .await?;
    session.execute("SELECT * FROM rag.import_log('level=info msg=mine')", &[]).await?;
    let own: i64 = session.value("SELECT count(*) FROM rag.steps").await?;
    ensure!(own == 1, "{own} steps");
    session.batch_execute(&format!("RESET ROLE; DROP ROLE {role}")).await?;
    let owner: String = session.value("SELECT owner::text FROM rag.runs").await?;
    ensure!(owner == role, "{owner}");
    Ok(())
}

async fn formats_that_are_unknown_are_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    let refusal = session.refusal("SELECT * FROM rag.parse_log('x', 'logfm')").await?;
    refusal.expect("22023", "unknown format \"logfm\"", "logfmt")?;
    let refusal = session.refusal("SELECT * FROM rag.import_log('x', attributes => '[]')").await?;
    refusal.expect("22023", "attributes must be a JSON object", "")?;
    let none: i64 = session.value("SELECT count(*) FROM rag.parse_log(NULL::text)").await?;
    ensure!(none == 0, "{none} rows");
    Ok(())
}

async fn a_long_log_can_be_cancelled() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute("SET statement_timeout = '200ms'").await?;
    let refusal = session
        .refusal("SELECT count(*) FROM rag.parse_log(repeat(E'level=info msg=hello n=1\\n', 8000000))")
        .await?;
    refusal.expect("57014", "", "")
}

//! Logs of other programs: `rag.parse_log` and `rag.import_log`.

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
        an_import_belongs_to_the_importing_role,
        formats_that_are_unknown_are_refused,
        zones_and_fields_are_the_callers,
        a_run_has_the_status_of_its_steps,
        a_log_is_imported_once,
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

async fn an_import_belongs_to_the_importing_role() -> Result<()> {
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

async fn zones_and_fields_are_the_callers() -> Result<()> {
    let session = shared().await?.session().await?;
    let log = "2026-05-03 14:00:00,000 INFO shop: a\n{\"ts\":\"2026-01-03 13:00:00\",\"duration\":0.5,\"svc\":{\"trace\":\"t7\"}}";
    let sql = "SELECT string_agg(concat_ws(' ', extract(hour FROM started AT TIME ZONE 'UTC'), duration_ms, run), ',' ORDER BY line)
               FROM rag.parse_log($1, timezone => 'Europe/Berlin', fields => '{\"duration\": \"s\", \"svc.trace\": \"run\"}')";
    let shown: String = session.value_of(sql, &[&log]).await?;
    ensure!(shown == "12,12 500 t7", "{shown}");
    let refusal = session.refusal("SELECT * FROM rag.parse_log('x', timezone => 'Europe/Berlinn')").await?;
    refusal.expect("22023", "unknown time zone \"Europe/Berlinn\"", "pg_timezone_names")?;
    let refusal =
        session.refusal("SELECT * FROM rag.import_log('x', fields => '{\"a\": \"modle\"}')").await?;
    refusal.expect("22023", "unknown column or unit \"modle\"", "model")?;
    let refusal = session.refusal("SELECT * FROM rag.parse_log('x', fields => '[1]')").await?;
    refusal.expect("22023", "fields must be a JSON object", "duration")?;
    Ok(())
}

async fn a_run_has_the_status_of_its_steps() -> Result<()> {
    let session = shared().await?.session().await?;
    let span = |id: &str, parent: &str, code: u8| {
        let status = if code == 2 { r#","status":{"code":2,"message":"429"}"# } else { "" };
        format!(
            r#"{{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"{id}","parentSpanId":"{parent}","name":"chat","startTimeUnixNano":"1777800600000000000","endTimeUnixNano":"1777800601000000000"{status}}}"#
        )
    };
    for (log, expected) in [
        ("{\"run_id\":\"r1\",\"level\":\"info\",\"msg\":\"a\"}\n{\"run_id\":\"r1\",\"level\":\"error\",\"msg\":\"boom\"}".to_owned(), "imported failed boom -"),
        ("{\"run_id\":\"r2\",\"level\":\"info\",\"msg\":\"a\"}".to_owned(), "imported done - -"),
        (span("b7ad6b7169203331", "00f067aa0ba902b7", 2), "chat failed 429 00f067aa0ba902b7"),
        (
            format!("{}\n{}", span("b7ad6b7169203332", "", 0), span("b7ad6b7169203333", "b7ad6b7169203332", 2)),
            "chat done - -",
        ),
    ] {
        let run: i64 = session.value_of("SELECT run_id FROM rag.import_log($1)", &[&log]).await?;
        let sql = "SELECT concat_ws(' ', agent, status, coalesce(error, '-'), coalesce(parent_span_id, '-')) FROM rag.runs WHERE id = $1";
        let shown: String = session.value_of(sql, &[&run]).await?;
        ensure!(shown == expected, "{log}: {shown}");
    }
    Ok(())
}

async fn a_log_is_imported_once() -> Result<()> {
    let session = shared().await?.session().await?;
    let log = "ts=2026-05-03T09:30:00Z run_id=once-1 msg=a\nts=2026-05-03T09:30:01Z run_id=once-2 msg=b\nts=2026-05-03T09:30:02Z run_id=once-2 msg=c";
    let count = "SELECT count(*) FROM rag.steps s JOIN rag.runs r ON r.id = s.run_id WHERE r.attributes->>'log.run' LIKE 'once-%'";
    let import = "SELECT string_agg(run_id || ' ' || steps, ',' ORDER BY run) FROM rag.import_log($1)";
    let first: String = session.value_of(import, &[&log]).await?;
    session.take_notices();
    let again: String = session.value_of(import, &[&log]).await?;
    ensure!(again == first.replace(" 1", " 0").replace(" 2", " 0"), "{first}; {again}");
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message == "2 runs were imported before"), "{notices:?}");
    // Lines that were added since then change the run that they belong to, and no other one.
    let grown = format!("{log}\nts=2026-05-03T09:30:03Z run_id=once-3 msg=d");
    let grown: String = session
        .value_of("SELECT string_agg(steps::text, ',' ORDER BY run) FROM rag.import_log($1)", &[&grown])
        .await?;
    ensure!(grown == "0,0,1", "{grown}");
    let steps: i64 = session.value(count).await?;
    ensure!(steps == 4, "{steps} steps");
    let other: i64 =
        session.value_of("SELECT sum(steps) FROM rag.import_log($1, agent => 'another')", &[&log]).await?;
    ensure!(other == 3, "{other} steps of another agent");
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

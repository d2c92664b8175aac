//! Logs as people have them: what is lost, merged or misread in them by a parser of textbook formats.

use super::tests::{check, shown};
use super::{FieldMap, ParseOptions, Zone, parse, tests::ReadableSteps};

fn count(rows: &[String], word: &str) -> usize {
    rows.iter().filter(|row| row.contains(word)).count()
}

#[test]
fn messages_that_begin_with_on_are_no_events_of_langchain() {
    let rows = shown(
        r#"{"event":"on_upload_start","level":"info","file":"a.pdf"}
{"event":"on_token_stream","level":"info","n":5}
{"event":"on_order_end","level":"error","error":"boom","file":"b.pdf"}
{"event":"on_call paged","level":"error","msg":"nobody answers"}
{"run_type":"nightly","level":"error","msg":"late"}
{"context":{"trace_id":"t1"},"level":"error","msg":"late"}"#,
        None,
    );
    assert_eq!(
        (rows.len(), count(&rows, "format=json"), count(&rows, " error error ")),
        (6, 6, 4),
        "{rows:#?}"
    );
}

#[test]
fn pieces_without_a_beginning_are_a_step() {
    check(
        "{\"event\":\"on_chat_model_stream\",\"run_id\":\"c\",\"name\":\"m\",\"data\":{\"chunk\":{\"content\":\"he\"}}}\n\
         {\"event\":\"on_chat_model_stream\",\"run_id\":\"c\",\"name\":\"m\",\"data\":{\"chunk\":{\"content\":\"lo\"}}}",
        &["1 model running format=langchain run=c span=c name=m output=\"helo\" attributes={\"pieces\":2}"],
    );
}

#[test]
fn zones_by_name_count() {
    for line in [
        "2026-05-03 14:00:00 CEST INFO shop: hello",
        "2026-05-03 14:00:00+02 INFO shop: hello",
        "2026-05-03 05:00:00 -07:00 INFO shop: hello",
        "2026-05-03T12:00Z INFO shop: hello",
        "[03-May-2026 12:00:00 UTC] INFO shop: hello",
    ] {
        check(
            line,
            &[
                "1 message ok format=python name=shop started=1777809600000000 output=\"hello\" attributes={\"level\":\"INFO\"}",
            ],
        );
    }
    check(
        "2026-05-03 14:00:00 IST INFO shop: hello",
        &["1 message ok format=python name=shop output=\"hello\" attributes={\"level\":\"INFO\"}"],
    );
    check(
        "2026-05-03 14:00:00.123 CEST [47] ann@shop ERROR:  no such order",
        &[
            "1 error error format=python name=ann@shop started=1777809600123000 error=no such order attributes={\"level\":\"ERROR\"}",
        ],
    );
}

#[test]
fn times_without_a_zone_are_in_the_zone_of_the_caller() {
    let berlin = |local: i64| local - 7_200_000_000;
    let mut rows = ReadableSteps::default();
    let log = "2026-05-03 14:00:00,000 INFO shop: a\n{\"ts\":\"2026-05-03 14:00:00\",\"msg\":\"b\"}\nts=2026-05-03T12:00:00Z msg=c";
    parse(log.as_bytes(), ParseOptions { zone: Zone(Some(&berlin)), ..ParseOptions::default() }, &mut rows);
    assert_eq!(count(&rows.0, "started=1777809600000000"), 3, "{:?}", rows.0);
}

#[test]
fn fields_mean_what_the_caller_says() {
    let fields =
        FieldMap::from_json(r#"{"duration": "s", "svc.trace": "run", "who": "name", "status": "attribute"}"#)
            .unwrap();
    let mut rows = ReadableSteps::default();
    let log = r#"{"duration":0.8175,"svc":{"trace":"t7"},"who":"cart","status":"error","msg":"a"}
duration=2 svc.trace=t8 status=error msg=b"#;
    parse(log.as_bytes(), ParseOptions { fields, ..ParseOptions::default() }, &mut rows);
    assert_eq!(
        rows.0,
        [
            r#"1 message ok format=json run=t7 name=cart ms=817.5 output="a" attributes={"svc":{"trace":"t7"},"status":"error"}"#,
            r#"2 message ok format=logfmt run=t8 ms=2000 output="b" attributes={"status":"error"}"#,
        ]
    );
}

const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()\n";

#[test]
fn errors_of_several_lines_stay_together() {
    let pydantic = format!(
        "{TRACEBACK}pydantic_core._pydantic_core.ValidationError: 2 validation errors for Order\nqty\n  Input should be a valid integer\n    For further information visit https://errors.pydantic.dev/2.11/v/int\nitems -> 0\n  Field required"
    );
    let noted = format!("{TRACEBACK}ValueError: no passage\nDuring task with name 'agent' and id '1'");
    let errors = [
        pydantic.as_str(),
        &noted,
        "java.lang.IllegalStateException: no order\n\tat shop.Order.find(Order.java:12)\nCaused by: java.io.IOException: gone\n\tat shop.Db.read(Db.java:3)\n\t... 2 more",
        "TypeError: x is not a function\n    at refund (/app/refund.js:12:5)\n    at process.processTicksAndRejections (node:internal:95:5)",
        "panic: boom\n\ngoroutine 1 [running]:\nmain.refund(...)\n\t/app/main.go:12 +0x1d\nexit status 2",
        "PHP Fatal error:  Uncaught Exception: boom in /app/a.php:3\nStack trace:\n#0 /app/a.php(9): f()\n#1 {main}\n  thrown in /app/a.php on line 3",
        "thread 'main' panicked at src/main.rs:2:5:\nboom\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    ];
    for error in errors {
        for (before, after) in [
            ("", ""),
            ("{\"msg\":\"a\"}\n", "\n{\"msg\":\"b\"}"),
            ("level=info msg=a\n", "\nlevel=info msg=b"),
        ] {
            for format in [None, Some(super::LogFormat::Json), Some(super::LogFormat::Logfmt)] {
                let rows = shown(&format!("{before}{error}{after}"), format);
                let expect = 1 + before.lines().count() + after.trim().lines().count();
                assert_eq!((rows.len(), count(&rows, " error error ")), (expect, 1), "{error}: {rows:#?}");
            }
        }
    }
    for error in &errors[..4] {
        let log =
            format!("2026-05-03 12:00:00 ERROR shop: failed\n{error}\n2026-05-03 12:00:01 INFO shop: next");
        let rows = shown(&log, None);
        assert_eq!((rows.len(), count(&rows, " error error ")), (2, 1), "{rows:#?}");
    }
    let rows = shown(
        &format!("{TRACEBACK}ValueError: y\nServer started\n2026-05-03 12:00:01 ERROR x\n  indented"),
        None,
    );
    assert_eq!((rows.len(), count(&rows, " raw=Server started")), (3, 1), "{rows:#?}");
}

#[test]
fn structlog_keeps_its_level_and_its_pairs() {
    check(
        "2026-05-03 12:00:00 [error    ] refund failed                  [shop.agent] order_id=7 why='too late' run_id=r1",
        &[
            r#"1 error error format=python run=r1 name=shop.agent started=1777809600000000 error=refund failed attributes={"why":"too late","level":"error","order_id":7}"#,
        ],
    );
    check("[info     ] ready", &[r#"1 message ok format=python output="ready" attributes={"level":"info"}"#]);
    check(
        "2026-05-03T12:00:00Z [warning  ] a = b is no pair",
        &[
            r#"1 message ok format=python started=1777809600000000 output="a = b is no pair" attributes={"level":"warning"}"#,
        ],
    );
}

#[test]
fn colours_and_names_of_other_loggers_are_read() {
    for (line, expect) in [
        (
            "\x1b[1;36m(EngineCore pid=1)\x1b[0m ERROR 06-24 02:06:20 [core.py:1] no memory",
            r#"1 error error format=python name=core.py error=no memory attributes={"time":"06-24 02:06:20","level":"ERROR","process":"EngineCore pid=1"}"#,
        ),
        (
            "INFO 11-28 02:06:20 [api_server.py:12] ready",
            r#"1 message ok format=python name=api_server.py output="ready" attributes={"time":"11-28 02:06:20","level":"INFO"}"#,
        ),
        (
            "2026-05-03T12:00:00Z  WARN shop_agent::tools: slow",
            r#"1 message ok format=python name=shop_agent::tools started=1777809600000000 output="slow" attributes={"level":"WARN"}"#,
        ),
        (
            "[2026-05-03T12:00:00Z WARN  a::b] slow",
            r#"1 message ok format=python name=a::b started=1777809600000000 output="slow" attributes={"level":"WARN"}"#,
        ),
        (
            "2026-05-03 12:00:00 INFO: 10.1.2.3:5555 - \"POST / HTTP/1.1\" 200 OK",
            r#"1 message ok format=python started=1777809600000000 output="10.1.2.3:5555 - \"POST / HTTP/1.1\" 200 OK" attributes={"level":"INFO"}"#,
        ),
    ] {
        check(line, &[expect]);
    }
}

#[test]
fn lines_of_servers_are_read() {
    for (line, expect) in [
        (
            "[03/May/2026 12:00:00] \"GET /orders HTTP/1.1\" 200 12",
            r#"1 message ok format=text started=1777809600000000 output="GET /orders HTTP/1.1\" 200" attributes={"bytes":12,"http_status":200}"#,
        ),
        (
            "127.0.0.1 - - [03/May/2026:12:00:00 +0000] \"POST /refund HTTP/1.1\" 500 - \"-\" \"curl/8\"",
            r#"1 error error format=text started=1777809600000000 error=POST /refund HTTP/1.1" 500 attributes={"bytes":"-","client":"127.0.0.1","http_status":500}"#,
        ),
        (
            "E0503 12:00:04.123456    1234 server.go:12] no order",
            r#"1 error error format=text name=server.go error=no order attributes={"time":"0503 12:00:04.123456"}"#,
        ),
        (
            "May  3 12:00:04 host shop[123]: started",
            r#"1 message ok format=text name=shop output="started" attributes={"time":"May  3 12:00:04"}"#,
        ),
        (
            "<131>1 2026-05-03T12:00:00Z host shop 123 - - no order",
            r#"1 error error format=text name=shop started=1777809600000000 error=no order"#,
        ),
    ] {
        check(line, &[expect]);
    }
}

#[test]
fn objects_for_ids_and_levels_are_opened() {
    check(
        r#"{"@timestamp":"2026-05-03T12:00:00Z","log":{"level":"error","logger":"shop"},"trace":{"id":"t1"},"span":{"id":"s1"},"message":"no order","event":{"outcome":"failure","duration":1500000}}"#,
        &[
            r#"1 error error format=json run=t1 span=s1 name=shop started=1777809600000000 ms=1.5 error=no order attributes={"log":{"level":"error","logger":"shop"},"span":{"id":"s1"},"event":{"outcome":"failure","duration":1500000},"level":"error","trace":{"id":"t1"}}"#,
        ],
    );
    check(
        r#"{"timestamp":"2026-05-03T12:00:00Z","level":"ERROR","fields":{"message":"no order","order":7},"target":"shop::tools","span":{"name":"f"}}"#,
        &[
            r#"1 error error format=json name=shop::tools started=1777809600000000 error=no order attributes={"span":{"name":"f"},"level":"ERROR","order":7}"#,
        ],
    );
    check(
        r#"{"error":{"message":"boom","type":"Refused","stack_trace":"at f"},"input_tokens":41.0}"#,
        &[
            "1 model error format=json in=41 error=boom\nat f attributes={\"error\":{\"type\":\"Refused\",\"message\":\"boom\",\"stack_trace\":\"at f\"}}",
        ],
    );
}

#[test]
fn spans_in_all_spellings_are_counted() {
    check(
        r#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"CvdlGRbNQ92ESOscIRkxnA==","span_id":"t61rcWkgMxw=","name":"ai.generateText.doGenerate","start_time_unix_nano":1777809600000000000,"end_time_unix_nano":"1777809601000000000","attributes":[{"key":"gen_ai.response.model","value":{"string_value":"m"}},{"key":"gen_ai.usage.input_tokens","value":{"int_value":"71"}},{"key":"gen_ai.usage.output_tokens","value":{"doubleValue":9.0}}]}]}]}]}"#,
        &[
            "1 model ok format=otlp run=0af7651916cd43dd8448eb1c2119319c span=b7ad6b716920331c name=ai.generateText.doGenerate started=1777809600000000 ms=1000 model=m in=71 out=9",
        ],
    );
    check(
        r#"{"traceId":"t","spanId":"s","startTimeUnixNano":"1777809600000000000","endTimeUnixNano":"1777809600000000000","attributes":[{"key":"openinference.span.kind","value":{"stringValue":"LLM"}},{"key":"llm.model_name","value":{"stringValue":"m"}},{"key":"llm.token_count.prompt","value":{"intValue":"3"}},{"key":"llm.token_count.completion","value":{"intValue":4}},{"key":"input.value","value":{"stringValue":"hi"}},{"key":"output.value","value":{"stringValue":"ho"}}]}"#,
        &[
            r#"1 model ok format=otlp run=t span=s started=1777809600000000 ms=0 input="hi" output="ho" model=m in=3 out=4 attributes={"openinference.span.kind":"LLM"}"#,
        ],
    );
    check(
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1777809600000000000","severityNumber":17,"severityText":"ERROR","body":{"stringValue":"boom"},"traceId":"t1","spanId":"s1"},{"observedTimeUnixNano":"1777809600000000000","body":{"stringValue":"fine"}}]}]}]}"#,
        &[
            r#"1 error error format=otlp run=t1 parent=s1 started=1777809600000000 error=boom attributes={"level":"ERROR"}"#,
            r#"1 message ok format=otlp started=1777809600000000 output="fine""#,
        ],
    );
}

#[test]
fn tasks_of_langgraphs_debug_stream_are_paired() {
    check(
        r#"{"step":1,"timestamp":"2026-05-03T12:00:00+00:00","type":"task","payload":{"id":"t1","name":"agent","input":{"q":1},"triggers":["start"]}}
{"step":1,"timestamp":"2026-05-03T12:00:00+00:00","type":"task","payload":{"id":"t2","name":"tools","input":{}}}
{"step":1,"timestamp":"2026-05-03T12:00:02+00:00","type":"task_result","payload":{"id":"t1","name":"agent","error":null,"result":[["messages","a"]],"interrupts":[]}}"#,
        &[
            r#"1 custom ok format=langchain span=t1 name=agent started=1777809600000000 ms=2000 input={"q":1} output=[["messages","a"]]"#,
            r#"2 custom running format=langchain name=tools started=1777809600000000 attributes={"step":1,"type":"task","payload":{"id":"t2","name":"tools","input":{}}}"#,
        ],
    );
    check(
        r#"{"type":"task_result","timestamp":"2026-05-03T12:00:02+00:00","payload":{"id":"t1","name":"agent","error":"boom","result":[]}}"#,
        &["1 custom error format=langchain span=t1 name=agent started=1777809602000000 error=boom"],
    );
}

use super::*;

/// Steps in readable form: the columns that have a value.
#[derive(Default)]
pub struct ReadableSteps(pub Vec<String>);

impl Sink for ReadableSteps {
    fn step(&mut self, step: &ParsedStep<'_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let mut shown = format!("{} {} {}", step.line, step.kind.name(), step.status.name());
        let mut show = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                shown += &format!(" {name}={value}");
            }
        };
        show("format", step.format.map(|format| format.name().to_owned()));
        show("run", step.run.map(text));
        show("span", step.span.map(text));
        show("parent", step.parent.map(text));
        show("name", step.name.map(text));
        show("started", step.started_us.map(|us| us.to_string()));
        show("ms", step.duration_ms.map(|ms| ms.to_string()));
        show("input", step.input.map(crate::jsonb::shown));
        show("output", step.output.map(crate::jsonb::shown));
        show("model", step.model.map(text));
        show("in", step.input_tokens.map(|tokens| tokens.to_string()));
        show("out", step.output_tokens.map(|tokens| tokens.to_string()));
        show("cost", step.cost.map(|cost| cost.to_string()));
        show("error", step.error.map(text));
        show("attributes", step.attributes.map(crate::jsonb::shown));
        show("raw", step.raw.map(text));
        self.0.push(shown);
    }
}

pub fn shown(log: &str, format: Option<LogFormat>) -> Vec<String> {
    let mut rows = ReadableSteps::default();
    parse(log.as_bytes(), ParseOptions { format, ..ParseOptions::default() }, &mut rows);
    rows.0
}

pub fn check(log: &str, expect: &[&str]) {
    assert_eq!(shown(log, None), expect, "{log}");
}

fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/logs/");
    std::fs::read_to_string(format!("{folder}{name}")).expect("a fixture")
}

const FIXTURES: [&str; 8] = [
    "python.log",
    "logfmt.log",
    "json.jsonl",
    "langgraph_events.jsonl",
    "langchain_runs.json",
    "otlp.json",
    "otlp_file_exporter.jsonl",
    "otel_console.json",
];

#[test]
fn objects_in_lines_are_steps() {
    check(
        r#"{"ts":"2026-05-03T12:00:00Z","level":"info","logger":"shop","msg":"hello","user":7}"#,
        &[
            r#"1 message ok format=json name=shop started=1777809600000000 output="hello" attributes={"user":7,"level":"info"}"#,
        ],
    );
    check(
        r#"{"run_id":"r1","trace_id":"t1","tool":"refund","args":{"order":7},"duration_s":1.5,"error":"refused"}"#,
        &[
            r#"1 tool error format=json run=r1 name=refund ms=1500 input={"order":7} error=refused attributes={"trace_id":"t1"}"#,
        ],
    );
    check(
        r#"{"model":"m","usage":{"prompt_tokens":3,"completion_tokens":4},"cost":0.5,"error":null}"#,
        &[
            r#"1 model ok format=json model=m in=3 out=4 cost=0.5 attributes={"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
        ],
    );
    check(
        "[{\"msg\":\"a\"},\n {\"msg\":\"b\"}]\n{\n  \"msg\": \"c\"\n}\n{\"msg\":\"d\"}",
        &[
            "1 message ok format=json output=\"a\"",
            "2 message ok format=json output=\"b\"",
            "3 message ok format=json output=\"c\"",
            "6 message ok format=json output=\"d\"",
        ],
    );
}

#[test]
fn values_that_make_no_sense_stay_attributes() {
    check(
        r#"{"ts":-1,"duration":"fast","input_tokens":-3,"status":200,"kind":"x","msg":1e999999}"#,
        &[
            r#"1 message ok format=json output="1e999999" attributes={"ts":-1,"kind":"x","status":200,"duration":"fast","input_tokens":-3}"#,
        ],
    );
    check(r#"{"msg":"a","msg":"b"}"#, &[r#"1 message ok format=json output="b" attributes={"msg":"a"}"#]);
    check(
        r#"{"x":"\u0000\ud800\ud83d\ude00"}"#,
        &["1 custom ok format=json attributes={\"x\":\"\u{fffd}\u{fffd}\u{1f600}\"}"],
    );
}

#[test]
fn pairs_are_steps() {
    check(
        r#"ts=2026-05-03T12:00:00Z level=error msg="not \"found\"" dur=1.5s n=7 id=007"#,
        &[
            r#"1 error error format=logfmt started=1777809600000000 ms=1500 error=not "found" attributes={"n":7,"id":"007","level":"error"}"#,
        ],
    );
    check("a = b", &["1 custom ok attributes={\"unparsed\":true} raw=a = b"]);
    check("x=1", &["1 custom ok attributes={\"unparsed\":true} raw=x=1"]);
}

#[test]
fn records_of_python_are_steps_with_their_tracebacks() {
    check(
        "WARNING:root:low\r\n\n2026-05-03 12:00:00,250 - a.b - ERROR - failed\nTraceback (most recent call last):\n  File \"x\"\nValueError: y\nz",
        &[
            "1 message ok format=python name=root output=\"low\" attributes={\"level\":\"WARNING\"}",
            "3 error error format=python name=a.b started=1777809600250000 error=failed\nTraceback (most recent call last):\n  File \"x\"\nValueError: y attributes={\"level\":\"ERROR\"}",
            "7 custom ok attributes={\"unparsed\":true} raw=z",
        ],
    );
    for (head, name) in [
        ("2026-05-03 12:00:00,000 INFO shop: ", Some("shop")),
        ("2026-05-03 12:00:00 [INFO] shop: ", Some("shop")),
        ("[2026-05-03 12:00:00,000] INFO in views: ", Some("views")),
        ("2026-05-03 12:00:00.000 | INFO     | shop:call:12 - ", Some("shop")),
        ("INFO 2026-05-03 12:00:00,000 views 47 140001 ", Some("views")),
        ("[2026-05-03 12:00:00 +0000] [47] [INFO] ", None),
        ("[2026-05-03 12:00:00,000: INFO/MainProcess] ", None),
        ("2026-05-03 12:00:00,000 INFO ", None),
    ] {
        let name = name.map_or(String::new(), |name| format!(" name={name}"));
        let expect = format!(
            "1 message ok format=python{name} started=1777809600000000 output=\"[x] 5 of 7\" attributes={{\"level\":\"INFO\"}}"
        );
        check(&format!("{head}[x] 5 of 7"), &[&expect]);
    }
}

#[test]
fn a_record_whose_message_is_json_is_what_that_says() {
    check(
        r#"2026-05-03 12:00:00,000 - shop - INFO - {"tool": "refund", "args": {"order": 7}}"#,
        &[
            r#"1 tool ok format=json name=refund started=1777809600000000 input={"order":7} attributes={"name":"shop","level":"INFO"}"#,
        ],
    );
}

#[test]
fn events_of_a_step_are_paired() {
    check(
        "{\"event\":\"on_tool_start\",\"run_id\":\"b\",\"parent_ids\":[\"a\"],\"name\":\"f\",\"data\":{\"input\":1},\"ts\":\"2026-05-03T12:00:00Z\"}\n\
         {\"event\":\"on_chat_model_start\",\"run_id\":\"c\",\"parent_ids\":[\"a\"]}\n\
         {\"event\":\"on_chat_model_stream\",\"run_id\":\"c\",\"data\":{\"chunk\":{\"content\":\"he\"}}}\n\
         {\"event\":\"on_chat_model_stream\",\"run_id\":\"c\",\"data\":{\"chunk\":{\"content\":\"\\u006co\"}}}\n\
         {\"event\":\"on_tool_end\",\"run_id\":\"b\",\"parent_ids\":[\"a\"],\"name\":\"f\",\"data\":{\"output\":2},\"ts\":\"2026-05-03T12:00:01Z\"}",
        &[
            "1 tool ok format=langchain run=a span=b parent=a name=f started=1777809600000000 ms=1000 input=1 output=2",
            "2 model running format=langchain run=a span=c parent=a output=\"helo\" attributes={\"pieces\":2}",
        ],
    );
}

#[test]
fn what_other_programs_have_written_is_understood() {
    for (name, steps) in FIXTURES.iter().zip([24, 20, 20, 10, 10, 5, 5, 5]) {
        let rows = shown(&fixture(name), None);
        let unknown = rows.iter().filter(|row| row.contains(" raw=")).count();
        assert_eq!((rows.len(), unknown), (steps, 0), "{name}: {rows:#?}");
    }
}

#[test]
fn one_format_leaves_the_lines_of_others() {
    let mixed = "level=info msg=a\n{\"msg\":\"b\"}\nINFO:x:c";
    for (format, known) in [
        (LogFormat::Logfmt, 1),
        (LogFormat::Json, 1),
        (LogFormat::Python, 1),
        (LogFormat::Otlp, 0),
        (LogFormat::LangChain, 0),
    ] {
        let rows = shown(mixed, Some(format));
        let read = rows.iter().filter(|row| row.contains(" format=")).count();
        assert_eq!((rows.len(), read), (3, known), "{format:?}: {rows:#?}");
    }
}

/// Pseudorandom numbers from a seed: SplitMix64 (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }
}

const ODD: [&str; 33] = [
    "\0",
    "\\u0000",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\n",
    "\r\n",
    "\u{feff}",
    "漢",
    "1e99999",
    "-",
    "99999999999999999999999",
    "=",
    ":",
    "\t",
    "null",
    "-1",
    "NaN",
    "Traceback (most recent call last):",
    "{\"event\":\"on_x_end\"}",
    "[03/May/2026 12:00:00] \"GET / HTTP/1.1\" 500",
    "E0503 12:00:04.1 1 a.go:1] x",
    "<34>1 2026-05-03T12:00:00Z h a 1 - - x",
    "May  3 12:00:04 h a[1]: x",
    "web-1  | ",
    "\n2026-05-03T12:00:00Z stdout P ",
    "{\"log\":\"x\",\"stream\":\"stdout\"}",
    "2026-05-03 12:00:00 [error    ] a b='c'",
    "\u{1b}[31m",
];

/// Damaged logs still give steps, and no text of a step is cut in the middle of a character.
#[test]
fn damaged_logs_never_fail() {
    let originals: Vec<String> = FIXTURES.iter().map(|name| fixture(name)).collect();
    let mut chance = Chance(20_260_503);
    let rounds = std::env::var("RAGSTONE_FUZZ").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400);
    for _ in 0..rounds {
        let original = &originals[chance.below(originals.len())];
        let mut log = original.as_bytes().to_vec();
        for _ in 0..=chance.below(12) {
            let at = chance.below(log.len());
            match chance.below(4) {
                0 => log.truncate(at),
                1 => drop(log.splice(at..at, ODD[chance.below(ODD.len())].bytes())),
                2 => drop(log.drain(at..(at + chance.below(40)).min(log.len()))),
                _ => {
                    let part = log[at..(at + chance.below(200)).min(log.len())].to_vec();
                    let to = chance.below(log.len());
                    drop(log.splice(to..to, part));
                }
            }
        }
        let log = String::from_utf8_lossy(&log);
        for format in [None, Some(LogFormat::ALL[chance.below(LogFormat::ALL.len())])] {
            shown(&log, format);
        }
    }
}

#[test]
fn deep_and_endless_documents_take_no_longer_than_others() {
    for part in ["[\n", "{\"a\":\n", "{\"a\":[\n", "{}]},{\"a\":[\n", "{\"a\":0},{\"b\":[\n"] {
        let rows = shown(&part.repeat(20_000), None);
        assert!(!rows.is_empty(), "{part:?}");
    }
}

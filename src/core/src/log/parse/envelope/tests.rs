use super::super::tests::{check, shown};

const ERROR: &str = "2026-05-03 12:00:00 ERROR shop: no order";
const READ: &str = "error error format=python name=shop started=1777809600000000 error=no order attributes={\"level\":\"ERROR\"}";

#[test]
fn the_line_inside_an_envelope_is_parsed() {
    for log in [
        format!(r#"{{"log":"{ERROR}\n","stream":"stderr","time":"2026-05-03T12:00:01.5Z"}}"#),
        format!("2026-05-03T12:00:01.123456789Z stdout F {ERROR}"),
        format!("2026-05-03T12:00:01.123456+00:00 app[web.1]: {ERROR}"),
        format!(
            r#"{{"MESSAGE":"{ERROR}","__REALTIME_TIMESTAMP":"1777809601000000","PRIORITY":"6","_SYSTEMD_UNIT":"shop.service"}}"#
        ),
        format!(
            r#"{{"@timestamp":"2026-05-03T12:00:01Z","message":"{ERROR}","agent":{{"type":"filebeat"}},"log":{{"offset":3}}}}"#
        ),
        format!(
            "{{\"events\":[\n {{\"timestamp\":1777809601000,\"message\":\"{ERROR}\",\"ingestionTime\":1}}\n]}}"
        ),
        format!(r#"{{"textPayload":"{ERROR}","severity":"DEFAULT","timestamp":"2026-05-03T12:00:01Z"}}"#),
        format!(
            r#"{{"hits":{{"total":1,"hits":[{{"_index":"a","_source":{{"message":"{ERROR}","log":{{"offset":1}}}}}}]}}}}"#
        ),
        format!(r#"{{"_index":"a","_source":{{"log":"{ERROR}","kubernetes":{{"pod":"x"}}}}}}"#),
        format!(
            r#"{{"status":"success","data":{{"resultType":"streams","result":[{{"stream":{{"app":"web"}},"values":[["1777809601000000000","{ERROR}"]]}}]}}}}"#
        ),
        format!(r#"{{"labels":{{"app":"web"}},"line":"{ERROR}","timestamp":"2026-05-03T12:00:01Z"}}"#),
        format!("web-1  | {ERROR}"),
        format!("web-1  | 2026-05-03T12:00:01.123456789Z {ERROR}"),
        format!("[pod/shop-7d9/web] {ERROR}"),
        format!("web-1  | {{\"log\":\"\\u001b[31m{ERROR}\\u001b[0m\\n\",\"stream\":\"stderr\"}}"),
    ] {
        check(&log, &[&format!("1 {READ}")]);
    }
}

#[test]
fn an_object_inside_an_envelope_keeps_its_severity() {
    check(
        r#"{"severity":"ERROR","timestamp":"2026-05-03T12:00:00Z","jsonPayload":{"message":"no order","order":7},"resource":{"type":"k8s"}}"#,
        &[
            r#"1 error error format=json started=1777809600000000 error=no order attributes={"level":"ERROR","order":7}"#,
        ],
    );
    check(
        "{\"hits\":{\"hits\":[\n{\"_source\":{\"level\":\"error\",\n\"msg\":\"a\"}},\n{\"_source\":{\"msg\":\"b\"}}]}}\nlevel=info msg=c",
        &[
            r#"1 error error format=json error=a attributes={"level":"error"}"#,
            r#"1 message ok format=json output="b""#,
            r#"5 message ok format=logfmt output="c" attributes={"level":"info"}"#,
        ],
    );
}

#[test]
fn plain_lines_in_envelopes_are_messages() {
    check(
        r#"{"MESSAGE":"Started shop","__REALTIME_TIMESTAMP":"1777809600000000","PRIORITY":"6","SYSLOG_IDENTIFIER":"systemd"}
{"MESSAGE":"no \"order\"","__REALTIME_TIMESTAMP":"1777809600000000","PRIORITY":"3","SYSLOG_IDENTIFIER":"systemd"}"#,
        &[
            r#"1 message ok format=text name=systemd started=1777809600000000 output="Started shop""#,
            r#"2 error error format=text name=systemd started=1777809600000000 error=no "order""#,
        ],
    );
}

#[test]
fn errors_of_several_envelopes_stay_together_beside_other_sources() {
    let lines = ["Traceback (most recent call last):", "  File \"a.py\", line 3, in f", "ValueError: y"];
    let log: Vec<String> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| format!("web-1  | {line}\ndb-1   | level=info n={n}"))
        .collect();
    let rows = shown(&log.join("\n"), None);
    assert_eq!(rows.len(), 4, "{rows:#?}");
    assert!(rows[0].starts_with("1 error error format=python name=web-1 error=Traceback"), "{rows:#?}");
    assert!(rows[0].ends_with("ValueError: y"), "{rows:#?}");
    assert!(rows[3].starts_with("6 custom ok format=logfmt name=db-1"), "{rows:#?}");
}

#[test]
fn parts_of_a_line_are_joined() {
    check(
        "2026-05-03T12:00:00Z stdout P {\"msg\":\n2026-05-03T12:00:01Z stdout F \"long\"}\n2026-05-03T12:00:02Z stdout F next",
        &[
            r#"1 message ok format=json started=1777809600000000 output="long""#,
            r#"3 message ok format=text started=1777809602000000 output="next""#,
        ],
    );
}

#[test]
fn lines_before_and_between_envelopes_are_kept() {
    check(
        "level=info msg=a\nwhat is this\ndata: {\"msg\":\"b\"}\nwhat is that\ndata: {\"msg\":\"c\"}",
        &[
            r#"1 message ok format=logfmt output="a" attributes={"level":"info"}"#,
            "2 custom ok attributes={\"unparsed\":true} raw=what is this",
            r#"3 message ok format=json output="b""#,
            "4 custom ok attributes={\"unparsed\":true} raw=what is that",
            r#"5 message ok format=json output="c""#,
        ],
    );
    for line in ["a | b\nc", "2026-05-03 12:00:00 said it", "[x] y", "what | is\nthis | x"] {
        let rows = shown(line, None);
        assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains("name=a")), "{rows:#?}");
    }
}

use super::*;

/// Steps as a person can read them: the columns that have a value.
#[derive(Default)]
struct Shown(Vec<String>);

impl Sink for Shown {
    fn row(&mut self, row: &Row<'_>) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let mut shown = format!("{} {} {}", row.line, row.kind.name(), row.status.name());
        let mut show = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                shown += &format!(" {name}={value}");
            }
        };
        show("format", row.format.map(|format| format.name().to_owned()));
        show("run", row.run.map(text));
        show("span", row.span.map(text));
        show("parent", row.parent.map(text));
        show("name", row.name.map(text));
        show("started", row.started_us.map(|us| us.to_string()));
        show("ms", row.duration_ms.map(|ms| ms.to_string()));
        show("input", row.input.map(crate::jsonb::shown));
        show("output", row.output.map(crate::jsonb::shown));
        show("model", row.model.map(text));
        show("in", row.input_tokens.map(|tokens| tokens.to_string()));
        show("out", row.output_tokens.map(|tokens| tokens.to_string()));
        show("cost", row.cost.map(|cost| cost.to_string()));
        show("error", row.error.map(text));
        show("attributes", row.attributes.map(crate::jsonb::shown));
        show("raw", row.raw.map(text));
        self.0.push(shown);
    }
}

pub fn shown(log: &str, format: Option<Format>) -> Vec<String> {
    let mut rows = Shown::default();
    parse(log.as_bytes(), format, None, &mut rows);
    rows.0
}

#[test]
fn dump_fixtures() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/logs/");
    for name in std::env::var("FIX").unwrap_or_default().split(' ') {
        let log = std::fs::read_to_string(format!("{folder}{name}")).unwrap_or_default();
        println!("== {name}");
        for row in shown(&log, None) {
            println!("{row}");
        }
    }
}

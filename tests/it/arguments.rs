//! Every function of the schema `rag` with NULL, with nothing and with absurd values in each place: NULL stands for the default of an
//! argument that has one, is refused by name where it has none, and nothing is a fault of Ragstone's own.

use crate::followed::make;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![null_stands_for_a_default_and_no_value_is_an_internal_error]
}

/// Runs a call and undoes it. Returns its SQLSTATE and message, or `fine`.
const ATTEMPT: &str = "
    CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE code text; message text;
    BEGIN
      BEGIN
        EXECUTE call;
        RAISE EXCEPTION USING ERRCODE = 'ZZ999';
      EXCEPTION WHEN OTHERS OR query_canceled THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
      END;
      RETURN CASE code WHEN 'ZZ999' THEN 'fine' ELSE code || ' ' || message END;
    END $$";

/// What the calls are about.
const OBJECTS: &str = "
    CREATE TABLE other (id int PRIMARY KEY, body text);
    SELECT rag.create_collection('notes', 't', 'body', sync => 'manual');
    CREATE FUNCTION double(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n'; COMMENT ON FUNCTION double IS 'doubles';
    CREATE FUNCTION triple(n int) RETURNS int LANGUAGE sql AS 'SELECT 3 * n'; COMMENT ON FUNCTION triple IS 'triples';
    SELECT rag.create_tool('double(int)');
    SELECT rag.create_agent('helper', 'You help.', 'local/extractive', ARRAY['double']);
    SELECT rag.start_run('helper'); SELECT rag.log_step(1, 'tool', 'double'); SELECT rag.finish_run(1);
    SELECT rag.create_session('s');
    SELECT rag.submit('search', '{\"collection\": \"notes\", \"query\": \"x\"}')";

/// Values of arguments that must be given, by function and name; any function's where none is named.
const VALUES: &[(&str, &str, &str)] = &[
    ("submit", "kind", "'search'"),
    ("create_provider", "protocol", "'openai'"),
    ("log_step", "kind", "'tool'"),
    ("drop_tool", "name", "'double'"),
    ("call_tool", "name", "'double'"),
    ("drop_agent", "name", "'helper'"),
    ("drop_collection", "name", "'notes'"),
    ("refresh_collection", "name", "'notes'"),
    ("alter_collection", "name", "'c'"),
    ("finish_migration", "name", "'c'"),
    ("rollback_migration", "name", "'c'"),
    ("retry_failed", "collection", "'c'"),
    ("wait_until_current", "collection", "'c'"),
    ("create_agent", "model", "'local/extractive'"),
    ("parse_log", "content", "'level=info msg=x'"),
    ("import_log", "content", "'level=info msg=x'"),
    ("", "collection", "'notes'"),
    ("", "query", "'text'"),
    ("", "question", "'which text?'"),
    ("", "name", "'fresh'"),
    ("", "source", "'other'"),
    ("", "content", "'body'"),
    ("", "input", "'{text}'"),
    ("", "agent", "'helper'"),
    ("", "instructions", "'You help.'"),
    ("", "function", "'triple(int)'"),
    ("", "args", "'{\"collection\": \"notes\", \"query\": \"x\"}'"),
    ("", "documents", "'{a,b}'"),
    ("", "steps", "'[{\"kind\": \"tool\", \"name\": \"x\"}]'"),
    ("", "messages", "'[{\"role\": \"user\", \"content\": \"hi\"}]'"),
    ("", "prompts", "'{a}'"),
];

/// Functions that give NULL, or nothing, for a NULL that must be given.
const NULL_FOR_NULL: &[&str] = &[
    "embed",
    "embed_batch",
    "chunk",
    "count_tokens",
    "parse_log",
    "import_log",
    "generate",
    "rerank",
    "otlp",
    "export_spans",
];

struct Function {
    name: String,
    is_window: bool,
    names: Vec<String>,
    types: Vec<String>,
    required: usize,
}

impl Function {
    async fn all(session: &Session) -> Result<Vec<Self>> {
        let rows = session
            .query(
                "SELECT proname::text, prokind = 'w', coalesce(proargnames[1:pronargs], '{}')::text[],
                        ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) WITH ORDINALITY u (t, o) ORDER BY o),
                        (pronargs - pronargdefaults)::int4
                 FROM pg_proc WHERE pronamespace = 'rag'::regnamespace AND prokind <> 'p' AND proname !~ '^_'
                 AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) ORDER BY proname, oid",
                &[],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| Self {
                name: row.get(0),
                is_window: row.get(1),
                names: row.get(2),
                types: row.get(3),
                required: row.get::<_, i32>(4) as usize,
            })
            .collect())
    }

    /// A call with usual arguments where they must be given, and with one argument of another value.
    fn call(&self, other: Option<(usize, &str)>) -> String {
        let places = other.map_or(self.required, |(place, _)| self.required.max(place + 1));
        let mut arguments = Vec::new();
        for place in 0..places {
            match other {
                Some((own, value)) if own == place => {
                    arguments.push(format!("{} => {value}::{}", self.names[place], self.types[place]));
                }
                _ if place < self.required => {
                    let value = self.usual(place);
                    arguments.push(format!("{} => {value}::{}", self.names[place], self.types[place]));
                }
                _ => {}
            }
        }
        let arguments = arguments.join(", ");
        match self.is_window {
            true => format!("SELECT rag.{}({arguments}) OVER ()", self.name),
            false => format!("SELECT * FROM rag.{}({arguments})", self.name),
        }
    }

    fn usual(&self, place: usize) -> &'static str {
        let (name, kind) = (self.names[place].as_str(), self.types[place].as_str());
        let own = VALUES.iter().find(|(function, argument, _)| *function == self.name && *argument == name);
        let any = || VALUES.iter().find(|(function, argument, _)| function.is_empty() && *argument == name);
        own.or_else(any).map_or_else(
            || match kind {
                "integer" | "bigint" => "1",
                "boolean" => "false",
                "jsonb" => "'{}'",
                "timestamp with time zone" => "'now'",
                _ => "'a'",
            },
            |(_, _, value)| value,
        )
    }
}

/// Values of a type that hardly anybody means.
fn absurd(kind: &str) -> &'static [&'static str] {
    match kind {
        "text" => &["''", "' '", "'no such'", "repeat('x', 1000000)", "E'a\\u2028\"b;--'"],
        "name" => &["''", "'no such'", "repeat('n', 63)"],
        "integer" => &["0", "(-1)", "2147483647", "(-2147483648)"],
        "bigint" => &["0", "(-1)", "9223372036854775807", "(-9223372036854775808)"],
        "double precision" => &["'NaN'", "'Infinity'", "(-1)", "1e300"],
        "jsonb" => &["'[]'", "'null'", "'1'", "'{\"no such\": null}'", "'[[{}]]'"],
        "text[]" | "name[]" => &["'{}'", "'{NULL}'", "'{\"\"}'", "'{a,a}'", "'{{a},{b}}'"],
        "interval" => &["'-1 s'", "'0'", "'0.001 s'"],
        "timestamp with time zone" => &["'infinity'", "'4713-01-01 BC'", "'294276-01-01'"],
        "regclass" => &["'pg_class'", "999999", "'pg_class_oid_index'"],
        "regprocedure" => &["'now()'", "999999", "'count(*)'"],
        "regconfig" => &["'simple'", "999999"],
        "bytea" => &["'\\x'", "'\\x00ff'"],
        _ => &[],
    }
}

async fn null_stands_for_a_default_and_no_value_is_an_internal_error() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute(ATTEMPT).await?;
    session.batch_execute(OBJECTS).await?;
    session.batch_execute("SET statement_timeout = '30s'; SET client_min_messages = error").await?;
    let mut faults = Vec::new();
    for function in Function::all(&session).await? {
        let attempt = async |call: String| -> Result<String> {
            let outcome: String = session
                .value_of("SELECT attempt($1)", &[&call])
                .await
                .with_context(|| format!("after {call}"))?;
            Ok(outcome)
        };
        let usual = attempt(function.call(None)).await?;
        for (place, kind) in function.types.iter().enumerate() {
            let (name, null) = (&function.names[place], function.call(Some((place, "NULL"))));
            let outcome = attempt(null.clone()).await?;
            let is_refused = outcome == format!("22004 {name} must not be null");
            let is_as_expected = match place < function.required {
                true if NULL_FOR_NULL.contains(&function.name.as_str()) => {
                    is_refused || !outcome.starts_with("22004")
                }
                true if function.name.starts_with("try_") => outcome == "fine",
                true if function.name == "generate_json" && name == "prompt" => outcome == "fine",
                true => is_refused,
                false => outcome == usual,
            };
            if !is_as_expected {
                faults.push(format!("{null}: {outcome}, without it: {usual}"));
            }
            for value in absurd(kind) {
                let call = function.call(Some((place, value)));
                let outcome = attempt(call.clone()).await?;
                if outcome.starts_with("XX") || outcome.starts_with("57P0") {
                    faults.push(format!("{call}: {outcome}"));
                }
            }
        }
    }
    ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

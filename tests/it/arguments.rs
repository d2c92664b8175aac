//! Calls every function of the schema `rag` with NULL, with empty values and with absurd values for each
//! argument. NULL stands for the default of an argument that has one, and is refused with the argument's name
//! otherwise. No call causes an internal error.

use crate::followed::make;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        null_stands_for_a_default_and_no_value_is_an_internal_error,
        a_job_is_refused_at_once_for_what_its_function_never_takes,
    ]
}

/// Runs a call and rolls it back. Returns its SQLSTATE and message, or `fine`.
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

/// The objects that the calls use.
const OBJECTS: &str = "
    CREATE TABLE other (id int PRIMARY KEY, body text);
    SELECT rag.create_collection('notes', 't', 'body', sync => 'manual');
    CREATE FUNCTION double(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n'; COMMENT ON FUNCTION double IS 'doubles';
    CREATE FUNCTION triple(n int) RETURNS int LANGUAGE sql AS 'SELECT 3 * n'; COMMENT ON FUNCTION triple IS 'triples';
    SELECT rag.create_tool('double(int)');
    SELECT rag.create_agent('helper', 'You help.', 'local/extractive', ARRAY['double']);
    SELECT rag.start_run('helper'); SELECT rag.log_step(1, 'tool', 'double'); SELECT rag.finish_run(1);
    CREATE TABLE judged (question text, key int); INSERT INTO judged VALUES ('text number 1', 1);
    SELECT rag.create_session('s'); SELECT rag.evaluate('notes', 'judged');
    SELECT rag.submit('search', '{\"collection\": \"notes\", \"query\": \"x\"}')";

/// Values of required arguments, by function and argument; without a function they apply to all functions.
const VALUES: &[(&str, &str, &str)] = &[
    ("submit", "kind", "'search'"),
    ("create_provider", "protocol", "'openai'"),
    ("log_step", "kind", "'tool'"),
    ("drop_tool", "name", "'double'"),
    ("call_tool", "name", "'double'"),
    ("drop_agent", "name", "'helper'"),
    ("drop_collection", "name", "'notes'"),
    ("rename_collection", "name", "'notes'"),
    ("pause_collection", "name", "'c'"),
    ("resume_collection", "name", "'c'"),
    ("refresh_collection", "name", "'notes'"),
    ("alter_collection", "name", "'c'"),
    ("finish_migration", "name", "'c'"),
    ("rollback_migration", "name", "'c'"),
    ("retry_failed", "collection", "'c'"),
    ("wait_until_current", "collection", "'c'"),
    ("wait_for_migration", "collection", "'c'"),
    ("create_agent", "model", "'local/extractive'"),
    ("parse_log", "content", "'level=info msg=x'"),
    ("import_log", "content", "'level=info msg=x'"),
    ("evaluate", "questions", "'judged'"),
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

/// Functions that return NULL or no rows if a required argument is NULL.
const NULL_FOR_NULL: &[&str] = &[
    "embed",
    "embed_batch",
    "chunk",
    "count_tokens",
    "parse",
    "document_info",
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

    /// A call with the usual values for the required arguments, and with one argument replaced.
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

    /// A call with the members of a JSON object as arguments, and with one argument of another value.
    fn call_with(&self, given: &str, place: usize, value: &str) -> String {
        let given = given.trim_matches(['{', '}']).split(", ").filter_map(|member| member.split_once(": "));
        let given = given.map(|(name, value)| (name.trim_matches('"'), value.replace('"', "'")));
        let others = given.filter(|(name, _)| *name != self.names[place]);
        let others: String = others.map(|(name, value)| format!("{name} => {value}, ")).collect();
        let (name, kind) = (&self.names[place], &self.types[place]);
        format!("SELECT * FROM rag.{}({others}{name} => {value}::{kind})", self.name)
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

/// Values of a type that hardly any user would pass on purpose.
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
        "regprocedure" => &["'now()'", "999999", "'count(\"any\")'"],
        "regconfig" => &["'simple'", "999999"],
        "bytea" => &["'\\x'", "'\\x00ff'"],
        _ => &[],
    }
}

/// Whether a refusal names the argument, or shows the value, as in: collection "x" does not exist.
fn says_what_is_wrong(outcome: &str, argument: &str, value: &str) -> bool {
    let (singular, plain) = (argument.trim_end_matches('s').replace('_', " "), outcome.replace('_', " "));
    let inner = value.trim_start_matches('E').trim_matches(['\'', '(', ')', '{', '}']);
    let shown = match inner.split('"').nth(1) {
        Some(quoted) if !value.contains("b;--") => format!("\"{quoted}\""),
        _ if inner.starts_with("repeat") => inner[8..9].repeat(60),
        _ if value.contains("b;--") => "\"b;--\"".to_owned(),
        _ => inner.split(',').next().unwrap_or_default().trim_end_matches('}').to_owned(),
    };
    let is_number = shown.parse::<f64>().is_ok();
    let as_shown = if is_number || shown.len() > 20 {
        shown.clone()
    } else {
        format!("\"{}\"", shown.trim_matches('"'))
    };
    plain.contains(&singular) || outcome.contains(&as_shown)
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
                true if function.name == "try_ask" => outcome == "fine",
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
                if usual == "fine" && outcome != usual && !says_what_is_wrong(&outcome, name, value) {
                    faults.push(format!("{call}: {outcome}, which does not name {name}"));
                }
            }
        }
    }
    ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

/// Kinds of jobs, with the arguments that must be given.
const KINDS: [(&str, &str); 5] = [
    ("embed", r#"{"input": "a"}"#),
    ("search", r#"{"collection": "c", "query": "a"}"#),
    ("ask", r#"{"collection": "c", "question": "a"}"#),
    ("generate", r#"{"prompt": "a"}"#),
    ("chat", r#"{"session": 1, "message": "a"}"#),
];

/// Whatever value of an argument its function refuses as none that it takes, whatever there is in the database.
async fn a_job_is_refused_at_once_for_what_its_function_never_takes() -> Result<()> {
    let session = shared().await?.session().await?;
    make(&session, 3, "").await?;
    session.batch_execute(ATTEMPT).await?;
    session.batch_execute("SELECT rag.create_session('s'); SET client_min_messages = error").await?;
    let attempt =
        async |call: &str| -> Result<String> { session.value_of("SELECT attempt($1)", &[&call]).await };
    let functions = Function::all(&session).await?;
    let (mut faults, mut refused) = (Vec::new(), 0);
    for (kind, required) in KINDS {
        for function in functions.iter().filter(|function| function.name == kind) {
            for (place, of) in function.types.iter().enumerate().filter(|(_, of)| !of.ends_with("[]")) {
                for value in absurd(of) {
                    let argument = &function.names[place];
                    let given =
                        format!("'{required}'::jsonb || jsonb_build_object('{argument}', {value}::{of})");
                    let call = format!("SELECT rag.submit('{kind}', {given})");
                    let as_job = attempt(&call).await?;
                    let direct = attempt(&function.call_with(required, place, value)).await?;
                    // Whether a collection has anything to filter by is left to the job.
                    let is_of_value = direct.starts_with("22023 ") && !direct.contains("has no metadata");
                    if is_of_value && direct.contains(argument.as_str()) {
                        refused += 1;
                        if as_job != direct {
                            faults.push(format!("{call}: {as_job}, as a function: {direct}"));
                        }
                    }
                }
            }
        }
    }
    ensure!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    ensure!(refused > 20, "only {refused} values are refused");
    Ok(())
}

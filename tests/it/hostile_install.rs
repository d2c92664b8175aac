//! The extension is installed into a database in which the schema `public`, which also holds pgvector, has
//! operators of another role for all pairs of types for which PostgreSQL has none: the extension must never
//! use them.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::{Session, refusal_in};
use std::collections::BTreeSet;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![operators_in_public_are_not_used, no_function_and_no_view_runs_what_is_in_public]
}

/// An operator whose operand types match exactly is preferred to an operator of `pg_catalog` that needs a
/// conversion.
const TRAPS: &str = r#"
    DO $$
    DECLARE kind_l text; kind_r text; operator text;
      kinds text[] := string_to_array('boolean|smallint|integer|bigint|real|double precision|numeric|text|varchar|name|bytea|date|'
        'timestamp|timestamptz|interval|json|jsonb|oid|regclass|regproc|regtype|"char"|tsvector|text[]|bigint[]|name[]|oid[]|regclass[]', '|');
    BEGIN
      FOREACH kind_l IN ARRAY kinds LOOP
        FOREACH kind_r IN ARRAY kinds LOOP
          EXECUTE format('CREATE FUNCTION public.trap(%s, %s) RETURNS boolean LANGUAGE sql AS ''SELECT 1 / 0 = 1''', kind_l, kind_r);
          FOREACH operator IN ARRAY '{+,-,*,/,%,=,<>,<,>,<=,>=,||,->,->>,@>,<@,~,!~,~~,!~~,&&,@@,&,|}'::text[] LOOP
            IF NOT EXISTS (SELECT FROM pg_operator WHERE oprname = operator::name AND oprleft = kind_l::regtype::oid
                             AND oprright = kind_r::regtype::oid) THEN
              EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.trap, LEFTARG = %s, RIGHTARG = %s)', operator, kind_l, kind_r);
            END IF;
          END LOOP;
        END LOOP;
      END LOOP;
    END $$"#;

async fn operators_in_public_are_not_used() -> Result<()> {
    let server = shared().await?;
    let database = server.empty_database("").await?;
    let session = server.connect(&database).await?;
    session.batch_execute("CREATE EXTENSION vector").await?;
    session.batch_execute(TRAPS).await?;
    let traps: i64 =
        session.value("SELECT count(*) FROM pg_operator WHERE oprcode::oid IN (SELECT oid FROM pg_proc WHERE proname = 'trap')").await?;
    ensure!(traps > 10_000, "{traps} operators");
    session.batch_execute("CREATE EXTENSION ragstone").await?;
    let used: Option<String> = session
        .value(
            "SELECT string_agg(DISTINCT pg_describe_object(classid, objid, objsubid) || ' uses '
                               || pg_describe_object(refclassid, refobjid, refobjsubid), E'\n')
             FROM pg_depend
             WHERE (refclassid = 'pg_operator'::regclass::oid AND refobjid IN (
                      SELECT oid FROM pg_operator WHERE oprcode::oid IN (SELECT oid FROM pg_proc WHERE proname = 'trap'))
                    OR refclassid = 'pg_proc'::regclass::oid AND refobjid IN (SELECT oid FROM pg_proc WHERE proname = 'trap'))
               AND classid <> 'pg_operator'::regclass::oid",
        )
        .await?;
    ensure!(used.is_none(), "{}", used.unwrap_or_default());
    Ok(())
}

/// Rows that the extension's functions and views work on, so that they do not return at once.
const WORK: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, body text, tag text);
    INSERT INTO notes SELECT i, 'note ' || i::text, 'a' FROM generate_series(1, 5) i;
    SELECT rag.create_collection('notes', 'notes', 'body', metadata => '{tag}', sync => 'manual');
    SELECT rag.create_collection('followed', 'notes', 'body');
    CREATE FUNCTION double(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
    COMMENT ON FUNCTION double IS 'doubles';
    SELECT rag.create_tool('double(int)');
    SELECT rag.create_agent('helper', 'You help.', 'local/extractive', ARRAY['double']);
    SELECT rag.start_run('helper');
    SELECT rag.log_step(1, 'tool', 'double', input => '{\"n\": 1}', output => '2', input_tokens => 3, cost => 0.5);
    SELECT rag.finish_run(1);
    SELECT rag.ask('notes', 'Which note is it?');
    INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 1000)";

/// Arguments of each type, other than NULL.
fn arguments(kind: &str) -> &'static [&'static str] {
    match kind {
        "text" | "name" => {
            &["'notes'", "'document'", "'helper'", "'a'", "'1'", "'{\"a\": [1]}'", "'double'", "' '"]
        }
        "integer" | "bigint" | "smallint" => &["1", "2", "0", "-1", "32767"],
        "double precision" | "real" | "numeric" => &["0.5", "0", "-1", "'NaN'"],
        "boolean" => &["true", "false"],
        "jsonb" | "json" => {
            &["'{}'", "'[]'", "'{\"id\": 1}'", "'[{\"kind\": \"tool\", \"name\": \"x\"}]'", "'1'"]
        }
        "text[]" | "name[]" => &["'{id}'", "'{a,b}'", "'{}'", "'{NULL}'"],
        "bigint[]" | "integer[]" => &["'{1,2}'", "'{}'"],
        "regclass" => &["'notes'", "'notes_chunks'"],
        "regprocedure" => &["'double(int)'"],
        "regconfig" => &["'english'"],
        "interval" => &["'100 ms'", "'1 day'"],
        "timestamp with time zone" => &["'2026-01-01'", "'-infinity'"],
        "bytea" => &[r"'\x00'", r"'\x0102030405060708'"],
        "tsvector" => &["'a:1 b:2'"],
        "\"any\"" | "anyelement" => &["1", "'x'::text"],
        _ => &[],
    }
}

/// The traps raise an error whenever they run, so no statement may fail with that error.
async fn no_function_and_no_view_runs_what_is_in_public() -> Result<()> {
    let server = Server::start().await?;
    let session = server.connect(&server.empty_database("").await?).await?;
    session.batch_execute("CREATE EXTENSION vector; CREATE EXTENSION ragstone").await?;
    session.batch_execute(TRAPS).await?;
    session.batch_execute(WORK).await?;
    session.batch_execute("SELECT rag.wait_until_current('followed')").await?;
    session.batch_execute("SET statement_timeout = '5s'").await?;
    let relations = session
        .query(
            "SELECT format('SELECT * FROM rag.%I', relname) FROM pg_class
             WHERE relnamespace = 'rag'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY 1",
            &[],
        )
        .await?;
    let mut faults = BTreeSet::new();
    for relation in &relations {
        faults.extend(fault(&session, relation.get(0)).await?);
    }
    let functions = session
        .query(
            "SELECT format('%s rag.%I', CASE prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, proname),
                    ARRAY(SELECT format_type(oid, NULL) FROM unnest(proargtypes) WITH ORDINALITY a (oid, n) ORDER BY n), prokind = 'w'
             FROM pg_proc
             WHERE pronamespace = 'rag'::regnamespace AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
             ORDER BY 1, 2",
            &[],
        )
        .await?;
    ensure!(relations.len() > 50 && functions.len() > 80, "{} and {}", relations.len(), functions.len());
    let seed = Chance::seed("RAGSTONE_ARGUMENTS_SEED");
    let chance = Chance::of(seed);
    for _ in 0..2000_usize.div_ceil(functions.len()) {
        for function in &functions {
            let (call, kinds, is_window): (String, Vec<String>, bool) =
                (function.get(0), function.get(1), function.get(2));
            let values: Vec<String> = kinds.iter().map(|kind| argument(&chance, kind)).collect();
            let over = if is_window { " OVER ()" } else { "" };
            let call = format!("{call}({}){over}", values.join(", "));
            faults.extend(fault(&session, &call).await?);
        }
    }
    let faults: Vec<String> = faults.into_iter().collect();
    ensure!(faults.is_empty(), "RAGSTONE_ARGUMENTS_SEED={seed}:\n{}", faults.join("\n"));
    let log = server.log()?;
    ensure!(!log.contains("division by zero"), "{log}");
    Ok(())
}

fn argument(chance: &Chance, kind: &str) -> String {
    match arguments(kind) {
        _ if kind == "internal" => "NULL".to_owned(),
        [] => format!("NULL::{kind}"),
        values => {
            // For a parameter of any type, the value determines the type.
            let is_any = ["anyelement", "\"any\""].contains(&kind);
            match (chance.below(8), is_any) {
                (0, true) => "NULL::int".to_owned(),
                (0, false) => format!("NULL::{kind}"),
                (_, true) => (*chance.pick(values)).to_owned(),
                (_, false) => format!("{}::{kind}", chance.pick::<&str>(values)),
            }
        }
    }
}

/// Runs a statement that may be refused, and rolls it back. Returns the fault if a trap or an internal error
/// refused it.
async fn fault(session: &Session, sql: &str) -> Result<Option<String>> {
    session.batch_execute("BEGIN").await?;
    let refused = session.batch_execute(sql).await.err();
    let refusal = refused.map(|error| refusal_in(&error).with_context(|| sql.to_owned())).transpose()?;
    session.batch_execute("ROLLBACK").await?;
    let at_fault = refusal.filter(|refusal| ["22012", "XX000"].contains(&refusal.code.as_str()));
    Ok(at_fault.map(|refusal| format!("{sql}: {} {}", refusal.code, refusal.message)))
}

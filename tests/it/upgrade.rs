//! From one version of the SQL objects to the next.

use crate::sample::texts;
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, run, shared};
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        an_upgrade_gives_what_a_fresh_install_gives,
        before_the_update_the_new_library_says_what_to_do,
        collections_of_0_1_0_go_on,
        rights_to_make_collections_survive,
        an_owner_gains_nothing_by_an_upgrade_and_cannot_stop_it,
    ]
}

const UPDATE: &str = "ALTER EXTENSION ragstone UPDATE";

/// A database with the extension as 0.1.0 made it.
async fn old(server: &Server) -> Result<Session> {
    let database = server.empty_database("").await?;
    let session = server.connect(&database).await?;
    session.batch_execute("CREATE EXTENSION vector; CREATE EXTENSION ragstone VERSION '0.1.0'").await?;
    Ok(session)
}

async fn name(session: &Session) -> Result<String> {
    session.value("SELECT current_database()::text").await
}

async fn catalogue(session: &Session) -> Result<Vec<String>> {
    let rows = session.query(include_str!("catalogue.sql"), &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn an_upgrade_gives_what_a_fresh_install_gives() -> Result<()> {
    let server = shared().await?;
    let (upgraded, fresh) = (old(&server).await?, server.session().await?);
    let before = catalogue(&upgraded).await?;
    upgraded.batch_execute(UPDATE).await?;
    let (upgraded, fresh) = (catalogue(&upgraded).await?, catalogue(&fresh).await?);
    ensure!(before != upgraded, "the update changed nothing");
    let without = |lines: &[String], others: &[String]| {
        lines.iter().filter(|line| !others.contains(line)).cloned().collect::<Vec<_>>().join("\n")
    };
    let (missing, superfluous) = (without(&fresh, &upgraded), without(&upgraded, &fresh));
    ensure!(upgraded == fresh, "only in a fresh install:\n{missing}\nonly after the upgrade:\n{superfluous}");
    Ok(())
}

async fn before_the_update_the_new_library_says_what_to_do() -> Result<()> {
    let session = old(&*shared().await?).await?;
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    for call in [
        "SELECT rag.create_collection('c', 't', 'body')",
        "SELECT rag.refresh_collection('c')",
        "SELECT rag.drop_collection('c')",
        "SELECT rag.search('c', 'a')",
        "SELECT rag.embed('a')",
        "SELECT * FROM rag.collections",
        "SELECT * FROM rag._reports()",
    ] {
        let refusal = session.refusal(call).await?;
        refusal.expect("55000", "the extension is version 0.1.0", "Run ALTER EXTENSION ragstone UPDATE")?;
    }
    // Writers do not notice, and whoever looks for the state of things still sees it.
    session.batch_execute("INSERT INTO t VALUES (1, 'one'); ALTER TABLE t ADD COLUMN title text").await?;
    session.batch_execute("SELECT * FROM rag.status(); SELECT * FROM rag.stat_engine").await?;
    ensure!(session.take_notices().is_empty());
    session.batch_execute(UPDATE).await?;
    let chunks: i64 =
        session.value("SELECT rag.create_collection('c', 't', 'body', sync => 'manual')").await?;
    ensure!(chunks == 1);
    Ok(())
}

/// The row of a collection as 0.1.0 had it; `$1` is what the new version says of the same one.
const OLD_ROW: &str = "INSERT INTO rag.collection (name, source, chunk_table, terms_table, key_columns, content_column,
      title_column, metadata_columns, model, fingerprint, dimensions, chunk_size, chunk_overlap, splitter, language,
      reference_words, source_rows, chunks, terms_folded, terms_appended, refreshed_at)
    SELECT name, source, chunk_table, terms_table, key_columns, content_column, title_column, metadata_columns, model,
      fingerprint, dimensions, chunk_size, chunk_overlap, splitter, language, reference_words, source_rows, chunks,
      terms_folded, terms_appended, refreshed_at
    FROM jsonb_populate_record(NULL::rag.collection, $1)";

/// A manual collection, and a copy of it in a database where the extension is 0.1.0.
async fn old_collection(server: &Server) -> Result<(Session, Session)> {
    let new = server.session().await?;
    new.batch_execute(
        "CREATE TABLE t (gone int, id int PRIMARY KEY, heading text, body text, kind text);
         ALTER TABLE t DROP COLUMN gone",
    )
    .await?;
    let insert = "INSERT INTO t SELECT o, 'passage', b, 'a' FROM unnest($1::text[]) WITH ORDINALITY u(b, o)";
    new.execute(insert, &[&texts(40, 300)]).await?;
    let create = "SELECT rag.create_collection('c', 't', 'body', 'heading', '{kind}', sync => 'manual')";
    ensure!(new.value::<i64>(create).await? > 40, "no row has several chunks");
    let old = old(server).await?;
    let dump = run(server.client("pg_dump")?.args(["-t", "t", "-t", "c_*", "-d", &name(&new).await?]))?;
    let path = server.folder().join(format!("{}.sql", name(&old).await?));
    std::fs::write(&path, dump)?;
    let mut psql = server.client("psql")?;
    run(psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &name(&old).await?, "-f"]).arg(&path))?;
    let row: serde_json::Value = new.value("SELECT to_jsonb(c) FROM rag.collection c").await?;
    old.execute(OLD_ROW, &[&row]).await?;
    // 0.1.0 did not count rows among the words, and had no index on hashes.
    old.batch_execute(
        "UPDATE c_terms SET level_1 = 0 WHERE lexeme = ''; DROP INDEX c_chunks_content_hash_idx",
    )
    .await?;
    Ok((new, old))
}

async fn found(session: &Session) -> Result<String> {
    session
        .value(
            "SELECT string_agg(source_key::text || round(score::numeric, 4), ' ' ORDER BY rank)
             FROM rag.search('c', 'passage 17 vacuum removes dead tuples', k => 8, filter => '{\"kind\": \"a\"}')",
        )
        .await
}

async fn collections_of_0_1_0_go_on() -> Result<()> {
    let (new, old) = old_collection(&*shared().await?).await?;
    old.batch_execute(UPDATE).await?;
    ensure!(old.take_notices().is_empty());
    ensure!(found(&old).await? == found(&new).await?, "another version finds something else");
    let state = "SELECT format('%s %s %s %s', sync, state, source_rows, error) FROM rag.collections";
    let state: String = old.value(state).await?;
    ensure!(state == "manual ready 40 ", "{state:?}");
    let numbers: String = old
        .value(
            "SELECT string_agg(attname, ' ' ORDER BY place)
             FROM rag._columns, unnest(numbers) WITH ORDINALITY n (number, place)
             JOIN pg_attribute ON attrelid = 't'::regclass AND attnum = number",
        )
        .await?;
    ensure!(numbers == "id body heading kind", "{numbers}");
    let counts =
        "SELECT format('%s %s %s', sum(level_1), sum(chunks), sum(words)) FROM c_terms WHERE lexeme = ''";
    let (of_old, of_new): (String, String) = (old.value(counts).await?, new.value(counts).await?);
    ensure!(of_old == of_new, "{of_old}, expected {of_new}");
    old.batch_execute("UPDATE t SET body = 'a capybara' WHERE id = 1; DELETE FROM t WHERE id = 2").await?;
    let row = old.query_one("SELECT * FROM rag.refresh_collection('c')", &[]).await?;
    let count = |name: &str| row.get::<_, i64>(name);
    ensure!(count("unchanged") == 38 && count("embedded") == 1 && count("deleted") == 1, "{row:?}");
    let indexes = "SELECT string_agg(definition, ', ' ORDER BY definition)
                   FROM pg_index, regexp_replace(pg_get_indexdef(indexrelid), '.* ON ', '') definition
                   WHERE indrelid IN ('c_chunks'::regclass, 'c_terms'::regclass)";
    ensure!(old.value::<String>(indexes).await? == new.value::<String>(indexes).await?);
    old.batch_execute("SELECT rag.drop_collection('c')").await?;
    Ok(())
}

async fn rights_to_make_collections_survive() -> Result<()> {
    let server = shared().await?;
    let session = old(&server).await?;
    session
        .batch_execute(
            "CREATE ROLE upgrade_maker; CREATE ROLE upgrade_other;
             REVOKE ALL ON FUNCTION rag.create_collection FROM PUBLIC;
             GRANT EXECUTE ON FUNCTION rag.create_collection TO upgrade_maker WITH GRANT OPTION",
        )
        .await?;
    session.batch_execute(UPDATE).await?;
    let rights = "SELECT string_agg(has_function_privilege(role, p.oid, privilege)::text, ' ' ORDER BY role, privilege)
                  FROM pg_proc p, unnest('{upgrade_maker,upgrade_other}'::name[]) role,
                       unnest('{EXECUTE,EXECUTE WITH GRANT OPTION}'::text[]) privilege
                  WHERE p.proname = 'create_collection'";
    let expected = "true true false false";
    ensure!(session.value::<String>(rights).await? == expected);
    // They are his decision, and not the extension's: a dump has them.
    let dump = run(server.client("pg_dump")?.args(["-d", &name(&session).await?]))?;
    ensure!(
        dump.contains("ON FUNCTION rag.create_collection") && dump.contains("TO upgrade_maker"),
        "{dump}"
    );
    Ok(())
}

async fn an_owner_gains_nothing_by_an_upgrade_and_cannot_stop_it() -> Result<()> {
    let (_, session) = old_collection(&*shared().await?).await?;
    session
        .batch_execute(
            "CREATE ROLE upgrade_mallory; GRANT CREATE ON SCHEMA public TO upgrade_mallory;
             ALTER TABLE t OWNER TO upgrade_mallory; ALTER TABLE c_chunks OWNER TO upgrade_mallory;
             ALTER TABLE c_terms OWNER TO upgrade_mallory; SET ROLE upgrade_mallory;
             CREATE FUNCTION rise() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
               EXECUTE 'ALTER ROLE upgrade_mallory SUPERUSER';
               RETURN NEW;
             END $$;
             CREATE TRIGGER rise BEFORE INSERT ON c_terms FOR EACH ROW EXECUTE FUNCTION rise();
             RESET ROLE",
        )
        .await?;
    session.batch_execute(UPDATE).await?;
    let notices = session.take_notices();
    ensure!(
        notices
            .iter()
            .any(|notice| notice.message.contains("collection \"c\" was not upgraded: must be superuser")
                || notice.message.contains("collection \"c\" was not upgraded: permission denied")),
        "{notices:?}"
    );
    let risen: bool =
        session.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'upgrade_mallory'").await?;
    ensure!(!risen, "an owner became superuser");
    Ok(())
}

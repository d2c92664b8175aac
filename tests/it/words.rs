//! The words of a text that text mode finds.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        compound_tokens_are_found_whole_and_by_their_parts,
        without_word_parts_the_parser_decides,
        scripts_without_spaces_are_found,
        what_looks_the_same_is_the_same,
        capitals_of_all_scripts_are_found_in_lower_case,
        accents_count_unless_they_are_ignored,
        a_migration_keeps_how_words_are_found,
        postings_know_the_field_of_a_word,
        the_rarest_words_of_a_long_query_are_looked_for,
        nothing_that_is_typed_is_an_error,
    ]
}

/// Creates a manual collection of these texts, with further arguments of `rag.create_collection`.
async fn collection(session: &Session, texts: &[&str], arguments: &str) -> Result<()> {
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    session
        .execute("INSERT INTO t SELECT n, b FROM unnest($1::text[]) WITH ORDINALITY u (b, n)", &[&texts])
        .await?;
    let create = format!("SELECT rag.create_collection('c', 't', 'body', sync => 'manual'{arguments})");
    session.batch_execute(&create).await?;
    Ok(())
}

/// The row that text mode finds first; None if it finds none.
async fn first(session: &Session, query: &str) -> Result<Option<i64>> {
    let sql = "SELECT (SELECT (source_key->>'id')::bigint FROM rag.search('c', $1, mode => 'text', typos => false) WHERE rank = 1)";
    session.value_of(sql, &[&query]).await
}

/// Checks that each query finds the row with its number first.
async fn all_found(session: &Session, queries: &[(i64, &str)]) -> Result<()> {
    for (row, query) in queries {
        let found = first(session, query).await?;
        ensure!(found == Some(*row), "{query:?} finds {found:?} and not {row}");
    }
    Ok(())
}

const COMPOUNDS: [&str; 25] = [
    "The gasket AB-1234-XK is out of stock.",
    "The import stops with ORA-00942: table or view.",
    "Patched against CVE-2024-3094 since March.",
    "Spare part 4711-0815 for pumps.",
    "It works at -40 °C, and not below.",
    "Fixed in v2.3.1 of the driver.",
    "There are several input/output errors.",
    "Change config.ini, then start anew.",
    "A server in Node.js listens there.",
    "See pump_controller.py for details.",
    "See https://example.org/docs/setup.html?lang=de.",
    "The file is /etc/pumpd.conf.",
    "Ask jane.doe@example.com for a key.",
    "It raised java.lang.NullPointerException again.",
    "A class foo.bar.Baz is missing.",
    "Call getUserById(7) first.",
    "A contract with AT&T was signed.",
    "The price is 1,234.56 in all.",
    "ISBN 978-3-16-148410-0, hardcover.",
    "Written in C++ for speed.",
    "The valve reports F7731 sometimes.",
    "Only read/write mounts are slow.",
    "The steps are at <https://example.net/guide/install.html>.",
    "Reported by <john.roe@example.edu> in May.",
    "Send it by e\u{2011}mail or by post.",
];

/// Queries, each with the number of the row that must be found first.
const PARTS: [(i64, &str); 68] = [
    (1, "AB-1234-XK"),
    (1, "ab1234xk"),
    (1, "1234"),
    (1, "XK"),
    (2, "ORA-00942"),
    (2, "942"),
    (2, "00942"),
    (2, "ORA"),
    (3, "CVE-2024-3094"),
    (3, "3094"),
    (3, "cve 2024"),
    (4, "0815"),
    (4, "4711"),
    (4, "4711-0815"),
    (5, "40"),
    (5, "-40"),
    (6, "2.3.1"),
    (6, "v2.3.1"),
    (7, "input"),
    (7, "output"),
    (7, "input/output"),
    (8, "config"),
    (8, "config.ini"),
    (9, "node"),
    (9, "Node.js"),
    (10, "controller"),
    (10, "pump_controller"),
    (10, "pump_controller.py"),
    (10, "pumpController"),
    (11, "setup.html"),
    (11, "example.org"),
    (11, "setup"),
    (11, "https://example.org/docs/setup.html?lang=de"),
    (12, "etc"),
    (12, "pumpd.conf"),
    (12, "/etc/pumpd.conf"),
    (12, "conf"),
    (13, "example.com"),
    (13, "jane"),
    (13, "jane.doe@example.com"),
    (14, "NullPointerException"),
    (14, "null pointer"),
    (14, "java.lang.NullPointerException"),
    (15, "Baz"),
    (15, "foo.bar.Baz"),
    (15, "bar"),
    (16, "get user"),
    (16, "getUserById"),
    (16, "getuserbyid"),
    (17, "AT&T"),
    (17, "at&t"),
    (18, "1234.56"),
    (18, "1,234.56"),
    (18, "1.234,56"),
    (19, "9783161484100"),
    (19, "978-3-16-148410-0"),
    (19, "148410"),
    (20, "C++"),
    (20, "c++"),
    (21, "F7731"),
    (21, "7731"),
    (22, "read"),
    (22, "read/write"),
    (22, "write"),
    (23, "install.html"),
    (23, "guide"),
    (24, "john.roe@example.edu"),
    (25, "email"),
];

async fn compound_tokens_are_found_whole_and_by_their_parts() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, &COMPOUNDS, "").await?;
    all_found(&session, &PARTS).await
}

async fn without_word_parts_the_parser_decides() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, &COMPOUNDS, ", word_parts => false").await?;
    for query in ["controller", "pumpController", "1234", "Baz", "get user"] {
        let found = first(&session, query).await?;
        ensure!(found.is_none(), "{query} finds {found:?}");
    }
    let shown: bool = session.value("SELECT word_parts OR ignore_accents FROM rag.collections").await?;
    ensure!(!shown);
    all_found(&session, &[(10, "pump_controller.py"), (11, "example.org"), (12, "/etc/pumpd.conf")]).await
}

async fn scripts_without_spaces_are_found() -> Result<()> {
    let session = shared().await?.session().await?;
    let texts = [
        "PostgreSQL是一个功能强大的开源数据库系统。",
        "データベースの管理者は毎日バックアップを取る。",
        "데이터베이스를 매일 백업한다.",
        "ผู้ดูแลระบบสำรองฐานข้อมูลทุกวัน",
        "A sentence in English about databases.",
    ];
    collection(&session, &texts, "").await?;
    let queries = [
        (1, "数据库"),
        (1, "开源"),
        (2, "データベース"),
        (2, "バックアップ"),
        (2, "ﾊﾞｯｸｱｯﾌﾟ"),
        (3, "데이터베이스"),
        (4, "ฐานข้อมูล"),
        (1, "库"),
        (1, "统"),
        (2, "者"),
        (2, "る"),
        (3, "한"),
        (5, "database"),
    ];
    all_found(&session, &queries).await?;
    let hybrid: i32 = session
        .value("SELECT text_rank FROM rag.search('c', '数据库是什么') WHERE source_key->>'id' = '1'")
        .await?;
    ensure!(hybrid == 1);
    Ok(())
}

async fn what_looks_the_same_is_the_same() -> Result<()> {
    let session = shared().await?.session().await?;
    let texts = [
        "ＡＢＣ１２３ is fullwidth",
        "the oﬃce with a ligature",
        "a data\u{ad}base with a soft hyphen",
        "Gro\u{308}ße decomposed",
        "Trademark™ and note¹",
    ];
    collection(&session, &texts, "").await?;
    all_found(
        &session,
        &[(1, "abc123"), (2, "office"), (3, "database"), (4, "Größe"), (5, "trademark"), (5, "note")],
    )
    .await
}

async fn capitals_of_all_scripts_are_found_in_lower_case() -> Result<()> {
    let session = shared().await?.session().await?;
    let texts =
        ["L'ÉCOLE est fermée", "Внимание: ОШИБКА", "ΟΔΟΣ ΑΘΗΝΩΝ", "İZMİR und ÖLPUMPE", "call getÜbersicht()"];
    for language in ["simple", "english"] {
        collection(&session, &texts, &format!(", language => '{language}'")).await?;
        let queries = [
            (1, "école"),
            (1, "École"),
            (2, "ошибка"),
            (2, "Ошибка"),
            (3, "οδος"),
            (4, "izmir"),
            (4, "ölpumpe"),
            (5, "übersicht"),
            (5, "getübersicht"),
        ];
        all_found(&session, &queries).await?;
        session.batch_execute("SELECT rag.drop_collection('c'); DROP TABLE t").await?;
    }
    Ok(())
}

async fn accents_count_unless_they_are_ignored() -> Result<()> {
    let session = shared().await?.session().await?;
    let texts = ["a crème brûlée", "the Ångström"];
    collection(&session, &texts, ", language => 'simple'").await?;
    for query in ["creme", "angstrom"] {
        ensure!(first(&session, query).await?.is_none(), "{query}");
    }
    session.batch_execute("SELECT rag.drop_collection('c'); DROP TABLE t").await?;
    collection(&session, &texts, ", language => 'simple', ignore_accents => true").await?;
    all_found(&session, &[(1, "creme"), (1, "Crème"), (1, "brulee"), (2, "angstrom"), (2, "Ångström")]).await
}

async fn a_migration_keeps_how_words_are_found() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, 'a crème in pump_controller.py');
             SELECT rag.create_collection('c', 't', 'body', word_parts => false, ignore_accents => true)",
        )
        .await?;
    session.batch_execute("SELECT rag.wait_until_current('c')").await?;
    session.batch_execute("SELECT rag.alter_collection('c', chunk_size => 64)").await?;
    ragstone_tests::wait::until("the migration is switched", async || {
        let switched: bool =
            session.value("SELECT coalesce(chunk_size, 0) = 64 FROM rag.collections").await?;
        Ok(switched.then_some(()))
    })
    .await?;
    all_found(&session, &[(1, "creme")]).await?;
    ensure!(first(&session, "controller").await?.is_none());
    Ok(())
}

async fn postings_know_the_field_of_a_word() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, name text, body text);
             INSERT INTO t VALUES (1, 'alpha beta AB-12', E'# gamma beta\\n\\ndelta beta 数据'), (2, NULL, 'alpha');
             SELECT rag.create_collection('c', 't', 'body', 'name', splitter => 'markdown', sync => 'manual', language => 'simple')",
        )
        .await?;
    let fields =
        "SELECT string_agg(format('%s:%s/%s', lexeme, frequency, fields), ' ' ORDER BY lexeme COLLATE \"C\")
                  FROM rag._postings('c') JOIN c_chunks USING (chunk_id) WHERE key_1 = $1";
    let first: String = session.value_of(fields, &[&1]).await?;
    ensure!(
        first == "12:1/1 ab:1/1 ab12:1/1 alpha:1/1 beta:4/7 delta:1/0 gamma:2/6 据:1/0 数据:1/0",
        "{first}"
    );
    let second: String = session.value_of(fields, &[&2]).await?;
    ensure!(second == "alpha:1/0", "{second}");
    Ok(())
}

async fn the_rarest_words_of_a_long_query_are_looked_for() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, body text);
             INSERT INTO t SELECT n, 'rare' || n || ' ' || (SELECT string_agg('common' || w, ' ') FROM generate_series(1, 99) w)
             FROM generate_series(1, 20) n;
             SELECT rag.create_collection('c', 't', 'body', sync => 'manual')",
        )
        .await?;
    session.take_notices();
    let words: String = (1..=99).map(|word| format!("common{word} ")).collect();
    all_found(&session, &[(7, &format!("{words} rare7"))]).await?;
    let notices = session.take_notices();
    ensure!(notices.iter().any(|notice| notice.message.contains("64 rarest of 100 words")), "{notices:?}");
    // A query of about 1 MB.
    let long: String = (0..120_000).map(|word| format!("w{word} ")).collect();
    all_found(&session, &[(3, &format!("{long} rare3"))]).await
}

async fn nothing_that_is_typed_is_an_error() -> Result<()> {
    let session = shared().await?.session().await?;
    collection(&session, &COMPOUNDS, "").await?;
    for query in [
        "-",
        "--",
        "+-_.:/\\@#&=?~,",
        "<",
        "<a",
        "a-",
        "-a",
        "1,",
        ",1",
        "'",
        "\"",
        "a & b | !c",
        "%",
        "\u{ad}",
        "\u{301}",
        "-.5",
        "::",
        "😀",
        "a/😀/b",
    ] {
        session.query("SELECT rank FROM rag.search('c', $1, mode => 'text')", &[&query]).await?;
    }
    let long = "a-".repeat(20_000) + &"b/".repeat(20_000) + &"数".repeat(20_000);
    session.query("SELECT rank FROM rag.search('c', $1, mode => 'text')", &[&long]).await?;
    Ok(())
}

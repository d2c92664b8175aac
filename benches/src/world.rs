//! Servers and tables for benches.

use crate::dictionaries::Corpus;
use crate::seeded;
use anyhow::Result;
use ragstone_tests::copy::copy_rows;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use std::time::Instant;

/// Settings of a server with a million chunks.
const SETTINGS: &[(&str, &str)] = &[
    ("shared_buffers", "3GB"),
    ("maintenance_work_mem", "2GB"),
    ("max_wal_size", "8GB"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("jit", "off"),
];

/// A new server for benches; with the seeded model beside the default model if `with_seeded` is true.
pub async fn server(runtime: &str, with_seeded: bool) -> Result<Server> {
    let options = SETTINGS.iter().fold(Options::default(), |options, (name, value)| options.set(name, value));
    let server = Server::prepare(options.set("rag.engine_runtime", runtime))?;
    if with_seeded {
        let models = seeded::models_folder(&server)?;
        server.configure(&Options::default().set("rag.models_path", &models.display().to_string()))?;
    }
    server.restart().await?;
    Ok(server)
}

/// Number of logical processors, which is the engine's default number of threads.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Creates the table `name` from a corpus's first `rows` entries, and the collection `name` of it. Returns
/// the seconds that the creation of the collection took.
pub async fn collection(
    session: &Session,
    name: &str,
    corpus: &Corpus,
    rows: usize,
    model: &str,
) -> Result<f64> {
    let create = format!("CREATE TABLE {name} (id int PRIMARY KEY, word text, dictionary text, body text)");
    session.batch_execute(&create).await?;
    let lines = corpus.entries.iter().take(rows).enumerate().map(|(id, entry)| {
        vec![id.to_string(), entry.word.clone(), entry.dictionary.clone(), entry.text.clone()]
    });
    copy_rows(session, name, lines).await?;
    session.batch_execute(&format!("VACUUM ANALYZE {name}")).await?;
    session.batch_execute("SET rag.overlong_input = 'ignore'").await?;
    let start = Instant::now();
    let make = format!(
        "SELECT rag.create_collection('{name}', '{name}', 'body', title => 'word', metadata => '{{dictionary}}',
           model => '{model}', sync => 'manual')"
    );
    session.batch_execute(&make).await?;
    let seconds = start.elapsed().as_secs_f64();
    session.batch_execute("VACUUM ANALYZE").await?;
    Ok(seconds)
}

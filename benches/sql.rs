//! SQL functions, one call at a time, over a Unix socket.

use criterion::{Criterion, criterion_group, criterion_main};
use ragstone_benches::world;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::ToSql;

struct World {
    runtime: Runtime,
    session: Session,
    _server: Server,
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (server, session) = runtime.block_on(async {
            let server = world::server("auto", false).await.expect("a server with ragstone installed");
            let session = server.session().await.expect("a database with the extension");
            session.batch_execute(TABLE).await.expect("a collection");
            (server, session)
        });
        Self { runtime, session, _server: server }
    }

    fn call(&self, criterion: &mut Criterion, name: &str, sql: &str, parameters: &[&(dyn ToSql + Sync)]) {
        let statement = self.runtime.block_on(self.session.prepare(sql)).expect("a valid statement");
        criterion.bench_function(name, |b| {
            b.iter(|| self.runtime.block_on(self.session.query(&statement, parameters)).expect("an answer"));
        });
    }
}

const TABLE: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, body text);
    INSERT INTO notes SELECT g, 'note ' || g || ': the harbour of town ' || g % 37 || ' closes when ' ||
      (ARRAY['storms come', 'ice drifts', 'ships are repaired', 'festivals begin'])[1 + g % 4] FROM generate_series(1, 400) g;
    SELECT rag.create_collection('notes', 'notes', 'body', sync => 'manual')";

fn functions(criterion: &mut Criterion) {
    let world = World::new();
    world.call(criterion, "SELECT 1", "SELECT 1", &[]);
    let text = "how do I take a base backup";
    world.call(criterion, "rag.embed(text)", "SELECT rag.embed($1::text)", &[&text]);
    let texts: Vec<String> = (0..16).map(|n| format!("{text} number {n}")).collect();
    world.call(criterion, "rag.embed(text[]) of 16", "SELECT rag.embed($1::text[])", &[&texts]);
    world.call(
        criterion,
        "rag.embed_batch over 16 rows",
        "SELECT rag.embed_batch(t) OVER () FROM unnest($1::text[]) t",
        &[&texts],
    );
    let document = "A sentence of a document that is cut. ".repeat(500);
    world.call(criterion, "rag.chunk of 20 kB", "SELECT count(*) FROM rag.chunk($1)", &[&document]);
    world.call(criterion, "rag.status()", "SELECT * FROM rag.status()", &[]);
}

fn searches(criterion: &mut Criterion) {
    let world = World::new();
    for mode in ["vector", "text", "hybrid"] {
        let sql = format!("SELECT * FROM rag.search('notes', $1, mode => '{mode}')");
        world.call(criterion, &format!("rag.search, {mode}, 400 rows"), &sql, &[&"storms in the harbour"]);
    }
}

/// Runs after all others: removes the template of the servers.
fn clean_up(_: &mut Criterion) {
    ragstone_tests::server::clean_up();
}

criterion_group!(benches, functions, searches, clean_up);
criterion_main!(benches);

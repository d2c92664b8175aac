//! Many kinds of trouble at once: providers that refuse, stall, limit and break off connections, a role that
//! holds advisory locks, and an engine that is killed, while pgbench writes in three databases with five
//! collections.

use crate::Result;
use crate::chance::Chance;
use crate::provider::{Provider, Reply};
use crate::rebuilt;
use crate::server::{Options, Server};
use crate::session::Session;
use crate::wait;
use crate::writers::{CLIENTS, Writers};
use anyhow::ensure;
use futures_util::future::{try_join, try_join_all};
use nix::sys::signal::Signal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Number of steps of all clients of a database in one round.
const STEPS: i64 = 40 * CLIENTS;

/// The collections of each database, each with the index of its model's provider; None for the local model.
const COLLECTIONS: [&[(&str, Option<usize>)]; 3] =
    [&[("calm", None)], &[("left", Some(0)), ("right", Some(1))], &[("far", Some(0)), ("near", None)]];

/// Maximum time until a collection is current: a row that was refused eight times is tried again after 128
/// seconds.
const UNTIL_CURRENT: &str = "5min";

const PROVIDERS: [&str; 2] = ["alpha", "beta"];

/// Dimensions of the providers' models.
const DIMENSIONS: usize = 8;

/// A server with databases, collections and providers, and the troubles.
pub struct World {
    /// The server.
    pub server: Server,
    /// Its databases.
    pub databases: Vec<Database>,
    providers: [TroubledProvider; 2],
    chance: Chance,
    _lockers: Vec<Session>,
}

impl World {
    /// A server without troubles, except for the sessions that hold advisory locks.
    ///
    /// # Errors
    /// [`crate::harness::NotRun`] if there is no pgbench.
    pub async fn start(seed: u64) -> Result<Self> {
        // The runtime that loads faster.
        let options = Options::default()
            .set("rag.engine_runtime", "onnxruntime")
            .set("rag.sync_max_attempts", "1000")
            .set("rag.sync_workers", "2")
            .set("rag.max_sync_workers", "6")
            .set("max_worker_processes", "24");
        let server = Server::start_with(options).await?;
        let providers = [TroubledProvider::start(seed)?, TroubledProvider::start(seed + 1)?];
        let mut databases = Vec::new();
        for collections in COLLECTIONS {
            databases.push(Database::create(&server, &providers, collections).await?);
        }
        let lockers = try_join_all(databases.iter().map(|database| hold_advisory_locks(&server, database)));
        let lockers = lockers.await?;
        Ok(Self { server, databases, providers, chance: Chance::of(seed), _lockers: lockers })
    }

    /// Begins the providers' troubles.
    pub fn begin_troubles(&self) {
        self.set_troubled(true);
    }

    /// Ends the providers' troubles. Requests may take long from now on; only while a provider stalls must
    /// they end soon.
    pub async fn end_troubles(&self) -> Result<()> {
        self.set_troubled(false);
        for database in &self.databases {
            for provider in PROVIDERS {
                let alter = format!("ALTER SERVER {provider} OPTIONS (SET timeout_ms '60000')");
                database.session.batch_execute(&alter).await?;
            }
        }
        Ok(())
    }

    fn set_troubled(&self, is_troubled: bool) {
        for provider in &self.providers {
            provider.is_troubled.store(is_troubled, Ordering::SeqCst);
        }
    }

    /// Writes in all databases, at full speed or `rate` steps per second, and kills the engine meanwhile.
    pub async fn round(&self, rate: Option<u32>) -> Result<()> {
        let written = AtomicBool::new(false);
        let writing = async {
            let clients = self.databases.iter().map(|database| {
                let seed = self.chance.below(1 << 31);
                database.writers.run(&self.server, &database.name, STEPS, rate, seed)
            });
            try_join_all(clients).await?;
            written.store(true, Ordering::SeqCst);
            Ok(())
        };
        let database = &self.databases[self.chance.below(self.databases.len())];
        // Clients whose connections end do fewer steps.
        let steps = Writers::steps(&database.session).await? + self.chance.below(STEPS as usize) as i64;
        let is_time =
            async || Ok(written.load(Ordering::SeqCst) || Writers::steps(&database.session).await? >= steps);
        try_join(writing, kill_engine(&self.server, is_time)).await?;
        Ok(())
    }

    /// Waits until the collections of the local model are current.
    pub async fn until_healthy_are_current(&self) -> Result<()> {
        for database in &self.databases {
            database.until_current(|provider| provider.is_none()).await?;
        }
        Ok(())
    }

    /// Waits until all collections are current, and fails unless they equal rebuilt ones.
    pub async fn check(&self) -> Result<()> {
        for database in &self.databases {
            database.until_current(|_| true).await?;
            for (name, provider) in database.collections {
                rebuilt::check(&database.session, name, &model(*provider)).await?;
            }
        }
        Ok(())
    }
}

/// The argument of a collection for its model.
fn model(provider: Option<usize>) -> String {
    provider.map(|place| format!(", model => '{}/small'", PROVIDERS[place])).unwrap_or_default()
}

/// A database with pgbench's clients, and with collections of the table to which they write.
pub struct Database {
    /// Its name.
    pub name: String,
    /// A session in it.
    pub session: Session,
    writers: Writers,
    /// Its collections, each with the index of its model's provider; None for the local model.
    pub collections: &'static [(&'static str, Option<usize>)],
}

impl Database {
    async fn create(
        server: &Server,
        providers: &[TroubledProvider; 2],
        collections: &'static [(&'static str, Option<usize>)],
    ) -> Result<Self> {
        let name = server.database().await?;
        let session = server.connect(&name).await?;
        let writers = Writers::prepare(server, &session).await?;
        for (place, provider) in providers.iter().enumerate() {
            let create = "SELECT rag.create_provider($1, kind => 'openai', api_key => 'sk', base_url => $2,
                            options => '{\"retries\": 0, \"timeout_ms\": 300}')";
            session.execute(create, &[&PROVIDERS[place], &provider.provider.url()]).await?;
        }
        for (collection, provider) in collections {
            rebuilt::create(&session, collection, &model(*provider)).await?;
        }
        Ok(Self { name, session, writers, collections })
    }

    /// Waits until each collection whose provider is wanted is current.
    async fn until_current(&self, is_wanted: impl Fn(Option<usize>) -> bool) -> Result<()> {
        for (collection, _) in self.collections.iter().filter(|(_, provider)| is_wanted(*provider)) {
            let wait = format!("SELECT rag.wait_until_current('{collection}', '{UNTIL_CURRENT}')");
            let current: bool = self.session.value(&wait).await?;
            ensure!(current, "{collection} is not current after {UNTIL_CURRENT}: {}", self.states().await?);
        }
        Ok(())
    }

    async fn states(&self) -> Result<String> {
        let states = "SELECT string_agg(s::text, E'\n') FROM rag.stat_collection s";
        Ok(self.session.value::<Option<String>>(states).await?.unwrap_or_default())
    }
}

/// A provider that, while it is troubled, answers one request in three.
struct TroubledProvider {
    provider: Provider,
    is_troubled: Arc<AtomicBool>,
}

impl TroubledProvider {
    fn start(seed: u64) -> Result<Self> {
        let is_troubled = Arc::new(AtomicBool::new(false));
        let chance = Mutex::new(Chance::of(seed));
        let reply = {
            let is_troubled = is_troubled.clone();
            Reply::by(move |seen| {
                let trouble = chance.lock().unwrap_or_else(PoisonError::into_inner).below(12);
                match trouble {
                    _ if !is_troubled.load(Ordering::SeqCst) => {}
                    0 => return Reply::status(400),
                    1 => return Reply::status(401),
                    2 => return Reply::status(413),
                    3 => return Reply::status(429).header("retry-after", "0"),
                    4 => return Reply::status(503),
                    5 => return Reply::hang_up(),
                    6 => return Reply::stall(),
                    7 => return Reply::text("no embeddings"),
                    _ => {}
                }
                Reply::embeddings_of(&seen.body["input"], DIMENSIONS)
            })
        };
        Ok(Self { provider: Provider::start([reply])?, is_troubled })
    }
}

/// A session of a role without rights that holds all advisory locks with low numbers until it is dropped.
async fn hold_advisory_locks(server: &Server, database: &Database) -> Result<Session> {
    let role = format!("locker_{}", database.name);
    database.session.batch_execute(&format!("CREATE ROLE {role} LOGIN")).await?;
    let session = server.connect_as(&role, &database.name).await?;
    let lock =
        "SELECT count(pg_advisory_lock(i)), count(pg_advisory_lock(i, i)) FROM generate_series(0, 500) i";
    session.query(lock, &[]).await?;
    Ok(session)
}

/// Kills the engine when `is_time` returns true.
async fn kill_engine(server: &Server, is_time: impl AsyncFn() -> Result<bool>) -> Result<()> {
    wait::until("the clients have done the steps", async || Ok(is_time().await?.then_some(()))).await?;
    let engine = wait::until("an engine runs", async || Ok(server.engines().first().copied())).await?;
    engine.signal(Signal::SIGKILL);
    Ok(())
}

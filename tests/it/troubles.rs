//! Many kinds of trouble at once: the collections end up equal to rebuilt ones, and collections with the
//! local model keep becoming current meanwhile.

use anyhow::Context;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::troubles::World;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![troubles_of_providers_engine_and_locks_end_in_what_a_rebuild_gives]
}

const ROUNDS: usize = 6;

async fn troubles_of_providers_engine_and_locks_end_in_what_a_rebuild_gives() -> Result<()> {
    let seed = Chance::seed("RAGSTONE_CHAOS_SEED");
    go_through(seed).await.with_context(|| format!("RAGSTONE_CHAOS_SEED={seed}"))
}

async fn go_through(seed: u64) -> Result<()> {
    let world = World::start(seed).await?;
    world.begin_troubles();
    for round in 0..ROUNDS {
        world.round(None).await.with_context(|| format!("round {round}"))?;
        world.until_healthy_are_current().await.with_context(|| format!("after round {round}"))?;
    }
    world.end_troubles().await?;
    world.check().await
}

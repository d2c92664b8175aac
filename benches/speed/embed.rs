//! `rag.embed(text[])` for a thousand passages of the manual, compared with plain Python loops over the same
//! model file.

use anyhow::{Context, Result};
use pgvector::Vector;
use ragstone_benches::options::Options;
use ragstone_benches::reference::{Reference, Settings};
use ragstone_benches::timing::median;
use ragstone_benches::{report, world};
use ragstone_tests::harness::NotRun;
use ragstone_tests::manual;
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use std::io::Write;
use std::time::Instant;
use tempfile::NamedTempFile;

/// One of the programs that are compared.
struct Contestant {
    name: String,
    kind: Program,
    seconds: Vec<f64>,
}

enum Program {
    Sql(Box<Session>, Server),
    Python(Reference),
}

pub async fn run(options: &Options) -> Result<()> {
    report::part("rag.embed(text[]), passages per second");
    let (count, rounds) = (options.size(1000, 32), options.size(3, 1));
    let fp32 = sql("onnxruntime").await?;
    let passages = passages(&fp32, count).await?;
    let mut file = NamedTempFile::new()?;
    serde_json::to_writer(&mut file, &passages)?;
    file.flush()?;

    let mut contestants = vec![fp32];
    if contestants[0].openvino_is_installed() {
        contestants.push(sql("openvino").await?);
    }
    let contestants = with_references(contestants, &file)?;
    let contestants = play(contestants, &passages, rounds).await?;
    tell(&contestants, count)
}

async fn sql(runtime: &str) -> Result<Contestant> {
    let server = world::server(runtime, false).await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed('the model is loaded')", &[]).await?;
    Ok(Contestant {
        name: format!("SQL, {runtime}"),
        kind: Program::Sql(Box::new(session), server),
        seconds: Vec::new(),
    })
}

/// The first chunks of every n-th page of the manual, so that they are spread over all of it.
async fn passages(contestant: &Contestant, count: usize) -> Result<Vec<String>> {
    let Program::Sql(session, _) = &contestant.kind else { anyhow::bail!("not an SQL contestant") };
    let pages: Vec<String> = manual::pages()?.into_iter().map(|page| page.body).collect();
    let sql = "SELECT c.content FROM unnest($1::text[]) WITH ORDINALITY p(body, n), rag.chunk(body, splitter => 'markdown') c
               WHERE c.seq <= 3 ORDER BY n, c.seq";
    let chunks: Vec<String> = session.query(sql, &[&pages]).await?.iter().map(|row| row.get(0)).collect();
    let step = chunks.len() / count;
    anyhow::ensure!(step >= 1, "{} passages, expected {count}", chunks.len());
    Ok(chunks.into_iter().step_by(step).take(count).collect())
}

fn with_references(mut contestants: Vec<Contestant>, passages: &NamedTempFile) -> Result<Vec<Contestant>> {
    let install = ragstone_tests::install::Installation::find()?;
    let model = install.default_model();
    let settings = Settings {
        kind: "loop",
        model: &model,
        passages: passages.path(),
        threads: world::processors(),
        batch: 32,
        openvino: false,
    };
    let programs = [
        ("Python loop, onnxruntime, batch 32", settings.clone()),
        ("Python loop, onnxruntime, batch 1", Settings { batch: 1, ..settings.clone() }),
        ("Python loop, openvino bf16, batch 32", Settings { openvino: true, ..settings.clone() }),
        ("Python loop, openvino bf16, batch 1", Settings { openvino: true, batch: 1, ..settings.clone() }),
        ("fastembed, its default batch 256", Settings { kind: "fastembed", batch: 256, ..settings }),
    ];
    for (name, settings) in programs {
        match Reference::start(&settings) {
            Ok(reference) => contestants.push(Contestant {
                name: name.to_owned(),
                kind: Program::Python(reference),
                seconds: Vec::new(),
            }),
            Err(error) => match error.downcast_ref::<NotRun>() {
                Some(reason) => report::note(&format!("{name}: {reason}")),
                None => return Err(error),
            },
        }
    }
    Ok(contestants)
}

/// Rounds in which the contestants take turns, so that a machine that becomes slower slows all of them.
async fn play(
    mut contestants: Vec<Contestant>,
    passages: &[String],
    rounds: usize,
) -> Result<Vec<Contestant>> {
    for _ in 0..rounds {
        for contestant in &mut contestants {
            let seconds = match &mut contestant.kind {
                Program::Python(reference) => reference.round()?,
                Program::Sql(session, _) => {
                    let start = Instant::now();
                    let vectors: Vec<Vector> =
                        session.value_of("SELECT rag.embed($1::text[])", &[&passages]).await?;
                    anyhow::ensure!(vectors.len() == passages.len());
                    start.elapsed().as_secs_f64()
                }
            };
            contestant.seconds.push(seconds);
        }
    }
    Ok(contestants)
}

fn tell(contestants: &[Contestant], count: usize) -> Result<()> {
    let speed = |contestant: &Contestant| count as f64 / median(&contestant.seconds);
    for contestant in contestants {
        report::figure(&contestant.name, speed(contestant), "passages/s");
    }
    let best = |prefix: &str| {
        let speeds = contestants.iter().filter(|contestant| contestant.name.starts_with(prefix)).map(speed);
        speeds.max_by(f64::total_cmp)
    };
    let fp32 = best("SQL, onnxruntime").context("SQL was not measured")?;
    if let Some(python) = best("Python loop, onnxruntime") {
        report::at_least("SQL to the better Python loop, both onnxruntime fp32", fp32 / python, 0.95, "×");
        if let Some(bf16) = best("SQL, openvino") {
            let name = "SQL in bf16 (openvino) to the better Python loop in fp32";
            report::at_least(name, bf16 / python, bf16_goal(), "×");
            if let Some(python) = best("Python loop, openvino") {
                report::at_least(
                    "SQL to the better Python loop, both openvino bf16",
                    bf16 / python,
                    0.95,
                    "×",
                );
            }
        }
    }
    if let Some(fastembed) = best("fastembed") {
        report::figure("SQL to fastembed, both onnxruntime fp32", fp32 / fastembed, "×");
    }
    Ok(())
}

/// Three times on a processor with AMX. With AMD's AVX-512 it need only be faster. With Intel's AVX-512, bf16
/// is slower, and `auto` does not use it.
fn bf16_goal() -> f64 {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if flags.contains("amx_bf16") { 3.0 } else { 1.0 }
}

impl Contestant {
    /// True if `make install` has installed OpenVINO for this processor.
    fn openvino_is_installed(&self) -> bool {
        match &self.kind {
            Program::Sql(_, server) => {
                server.install.library.join("ragstone/openvino/libonnxruntime.so").exists()
            }
            Program::Python(_) => false,
        }
    }
}

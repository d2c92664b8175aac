//! The engine together with other programs that keep the processors busy.

use crate::shares::{embed, passages};
use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::timing::median;
use ragstone_benches::{report, world};
use std::process::{Child, Command};

/// Minimum part of its fair share of the processors that the engine should get.
const GOAL: f64 = 0.85;

/// A busy loop; dropping it ends the loop.
struct BusyLoop(Child);

impl BusyLoop {
    fn start() -> Result<Self> {
        Ok(Self(Command::new("sh").args(["-c", "while :; do :; done"]).spawn()?))
    }
}

impl Drop for BusyLoop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub async fn run(options: &Options) -> Result<()> {
    let processors = world::processors();
    for runtime in ["onnxruntime", "openvino"] {
        report::part(&format!("bulk beside busy loops on {processors} processors, {runtime}"));
        let server = world::server(runtime, false).await?;
        if runtime == "openvino"
            && !server.install.library.join("ragstone/openvino/libonnxruntime.so").exists()
        {
            report::note("OpenVINO is not installed");
            continue;
        }
        let session = server.session().await?;
        let texts = passages(options.size(300, 60))?;
        embed(&session, &texts).await?;
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..options.size(5, 1) {
            for (neighbours, rates) in rates.iter_mut().enumerate() {
                let _busy = (0..neighbours).map(|_| BusyLoop::start()).collect::<Result<Vec<_>>>()?;
                rates.push(embed(&session, &texts).await?);
            }
        }
        let [idle, rest @ ..] = rates.map(|rates| median(&rates));
        report::figure("no neighbour", idle, "texts/s");
        for (neighbours, rate) in (1..).zip(rest) {
            let fair = processors as f64 / (processors + neighbours) as f64;
            report::figure(&format!("busy loops: {neighbours}"), rate, "texts/s");
            report::figure("of the rate without", rate / idle, "×");
            report::at_least("of the fair share", rate / idle / fair, GOAL, "×");
        }
    }
    Ok(())
}

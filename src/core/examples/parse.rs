use ragstone_core::log::parse::{Row, Sink, parse};
struct Taken(u64);
impl Sink for Taken {
    fn row(&mut self, row: &Row<'_>) {
        self.0 += row.attributes.map_or(0, |a| a.len() as u64) + u64::from(row.line);
    }
}
fn main() {
    for name in std::env::args().skip(1) {
        let log = std::fs::read(&name).unwrap();
        let mut best = f64::MAX;
        let mut counts = Default::default();
        for _ in 0..7 {
            let t = std::time::Instant::now();
            counts = parse(&log, None, None, &mut Taken(0));
            best = best.min(t.elapsed().as_secs_f64());
        }
        println!(
            "{name}: {counts:?} best {:.4} s, {:.0} ns/line, {:.0} MB/s",
            best,
            best * 1e9 / counts.lines as f64,
            log.len() as f64 / best / 1e6
        );
    }
}

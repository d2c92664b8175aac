//! `rag.status`, `rag.stat_engine`, and the progress that `rag.collections` shows.

use crate::collections::catalog::visible::visible_work;
use pgrx::iter::TableIterator;
use pgrx::{extension_sql_file, name, pg_extern};
use ragstone_client::engine::client;
use ragstone_client::processes::place::Place;
use ragstone_client::processes::slots;
use ragstone_client::settings::paths;
use ragstone_core::protocol::{PROTOCOL, Progress, Request, Response, Stats};
use ragstone_pg::error::{Error, or_raise};
use ragstone_pg::session;
use ragstone_pg::text::Utf8;

#[pg_extern(volatile, parallel_restricted)]
fn status() -> TableIterator<'static, (name!(name, Utf8), name!(value, Option<Utf8>))> {
    let mut rows = vec![
        ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("protocol", Some(PROTOCOL.to_string())),
        ("socket", Some(paths::socket().display().to_string())),
    ];
    match or_raise(stats()) {
        None => rows.push(("engine", Some("not running; the first call starts it".to_owned()))),
        Some(stats) => rows.extend([
            ("engine", Some("running".to_owned())),
            ("engine_pid", Some(stats.pid.to_string())),
            ("engine_uptime_seconds", Some(format!("{:.0}", stats.uptime_s))),
            ("engine_restarts", Some(stats.restarts.to_string())),
            ("runtime", Some(stats.runtime)),
            ("sandbox", Some(stats.sandbox)),
            ("resident_bytes", Some(stats.resident_bytes.to_string())),
            ("clients", Some(stats.clients.to_string())),
        ]),
    }
    let standby = session::is_standby();
    rows.push(("standby", Some(standby.to_string())));
    rows.push((
        "synchronisation",
        Some(if standby {
            "collections are brought up to date on the primary server".to_owned()
        } else {
            format!(
                "coordinators on this server: {}, workers: {}",
                slots::running(Place::Coordinator),
                slots::running(Place::FIRST_INDEXER)
            )
        }),
    ));
    TableIterator::new(rows.into_iter().map(|(name, value)| (Utf8::from(name), value.map(Utf8))))
}

#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn _stat_engine() -> TableIterator<
    'static,
    (
        name!(model, Utf8),
        name!(requests, i64),
        name!(texts, i64),
        name!(batches, i64),
        name!(mean_batch, f64),
        name!(waiting, i64),
        name!(wait_p50_ms, f64),
        name!(wait_p95_ms, f64),
        name!(wait_p99_ms, f64),
        name!(run_p50_ms, f64),
        name!(run_p95_ms, f64),
        name!(run_p99_ms, f64),
        name!(tokens_per_second, f64),
        name!(resident_bytes, i64),
        name!(restarts, i32),
    ),
> {
    let rows = or_raise(stats()).into_iter().flat_map(|stats| {
        let (resident, restarts) = (stats.resident_bytes as i64, stats.restarts as i32);
        stats.models.into_iter().map(move |model| {
            let mean = if model.batches == 0 { 0.0 } else { model.texts as f64 / model.batches as f64 };
            (
                Utf8(model.model),
                model.requests as i64,
                model.texts as i64,
                model.batches as i64,
                mean,
                model.waiting as i64,
                model.wait_ms.p50,
                model.wait_ms.p95,
                model.wait_ms.p99,
                model.run_ms.p50,
                model.run_ms.p95,
                model.run_ms.p99,
                model.tokens_per_second,
                resident,
                restarts,
            )
        })
    });
    TableIterator::new(rows)
}

#[pg_extern(volatile, parallel_restricted)]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn _reports() -> TableIterator<
    'static,
    (
        name!(collection, Utf8),
        name!(pid, i32),
        name!(rows_done, i64),
        name!(rows_total, i64),
        name!(rate, Option<f64>),
        name!(elapsed, f64),
    ),
> {
    let database = session::database();
    let reports = or_raise(reports()).into_iter().filter(|report| report.database == database);
    let reports = or_raise(visible(reports.collect()));
    TableIterator::new(reports.into_iter().map(|report| {
        let seconds = report.elapsed_ms as f64 / 1000.0;
        let rate = (report.done > 0 && seconds > 0.0).then(|| report.done as f64 / seconds);
        (Utf8(report.subject), report.pid, report.done as i64, report.total as i64, rate, seconds)
    }))
}

fn stats() -> Result<Option<Stats>, Error> {
    match client::call_if_running(Request::Stats)? {
        None => Ok(None),
        Some(Response::Stats(stats)) => Ok(Some(stats)),
        Some(other) => Err(Error::internal(format!("unexpected answer to a stats request: {other:?}"))),
    }
}

fn reports() -> Result<Vec<Progress>, Error> {
    match client::call_if_running(Request::Reports)? {
        None => Ok(Vec::new()),
        Some(Response::Reports(reports)) => Ok(reports),
        Some(other) => Err(Error::internal(format!("unexpected answer to a reports request: {other:?}"))),
    }
}

/// The reports that the current role is allowed to see.
fn visible(reports: Vec<Progress>) -> Result<Vec<Progress>, Error> {
    if reports.is_empty() {
        return Ok(reports);
    }
    let names: Vec<_> = reports.iter().map(|report| report.subject.as_str()).collect();
    let pids: Vec<_> = reports.iter().map(|report| report.pid).collect();
    let visible = visible_work(&names, &pids)?;
    Ok(reports.into_iter().zip(visible).filter_map(|(report, visible)| visible.then_some(report)).collect())
}

extension_sql_file!("../../sql/status.sql", requires = [status, _stat_engine, _reports]);

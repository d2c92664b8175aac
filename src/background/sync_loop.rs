//! The worker's loop: it takes what was noted, keeps a few batches under way so that the engine always has work, and
//! sleeps with nothing open.

use crate::agent_log::{Fold, Weeks, has_steps_left};
use crate::background::exit::{Left, has_mail_left};
use crate::background::mailbox_readers::Mail;
use crate::collections::capture::reconcile;
use crate::collections::capture::reconcile::Depth;
use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::Key;
use crate::collections::indexing::batch::{Batch, Found};
use crate::collections::indexing::rate::Rate;
use crate::collections::indexing::write::{Written, write};
use crate::collections::lifecycle::settle;
use crate::collections::lifecycle::settle::Settled;
use crate::collections::queue;
use crate::collections::queue::claim::{Claim, Hands, unlock};
use crate::collections::queue::failure;
use crate::jobs;
use crate::jobs::Dispatch;
use pgrx::bgworkers::BackgroundWorker;
use pgrx::log;
use ragstone_client::processes::slots;
use ragstone_client::settings;
use ragstone_pg::attempt::{in_transaction, outside_transaction};
use ragstone_pg::blame::{Blame, blame};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::extension;
use ragstone_pg::guc::reload_configuration;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::connect;
use ragstone_pg::{activity, databases, wait};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Batches under way: one that the engine embeds, one that waits for it, one that is being written.
const MOST_UNDER_WAY: usize = 3;

/// The longest sleep. A worker that sleeps looks this often for somebody who wants the database for himself.
const NAP: Duration = Duration::from_secs(1);

/// All of the queue is looked at this often, also under load: for changes that were committed after later ones.
const LOOK: Duration = Duration::from_secs(1);

/// Pauses after a failure that is nobody's blame, or the system's, double from the first to the last of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Mail that keeps coming is written for so long before the worker looks at anything else.
const BUSY: Duration = Duration::from_millis(100);

/// The engine gives what follows within so long, if there is something.
const FOLLOWS: Duration = Duration::from_millis(5);

/// After so many new rows of a terms table they are folded without waiting for the queue to be empty.
const VERY_MANY: i64 = 1_000_000;

/// As many rows in the queue's window make a worker call for others.
const MUCH: usize = 128;

struct UnderWay {
    batch: Batch,
    locks: Vec<i64>,
}

struct Worker {
    database: u32,
    place: i32,
    hands: Hands,
    /// What the first worker of a database writes down.
    mail: Option<Mail>,
    under_way: VecDeque<UnderWay>,
    /// Locks to give back in the next transaction.
    locks: Vec<i64>,
    /// Collections that were worked on since they were seen current.
    touched: HashSet<i64>,
    rates: HashMap<i64, Rate>,
    /// Rows added to terms tables since these were looked at.
    appended: HashMap<i64, i64>,
    pauses: HashMap<i64, Duration>,
    backoff: Duration,
    looked: Instant,
    compared: Instant,
    idle_since: Instant,
    jobs: Dispatch,
    /// Of the log of agents; the first worker of a database sees to them.
    weeks: Weeks,
    /// Of reports; as the weeks.
    fold: Fold,
}

/// Works until there is nothing left to do for long, or nobody to do it for.
pub fn run(database: u32, place: i32) -> Left {
    let now = Instant::now();
    let mut worker = Worker {
        database,
        place,
        hands: Hands::default(),
        mail: (place == 0).then(|| Mail::of(database)),
        under_way: VecDeque::new(),
        locks: Vec::new(),
        touched: HashSet::new(),
        rates: HashMap::new(),
        appended: HashMap::new(),
        pauses: HashMap::new(),
        backoff: BACKOFF.0,
        looked: now.checked_sub(LOOK).unwrap_or(now),
        compared: now,
        idle_since: now,
        jobs: Dispatch::new(database),
        weeks: Weeks::new(),
        fold: Fold::new(),
    };
    worker.touch_unfilled();
    loop {
        wait::serve_interrupts();
        reload_if_told();
        if databases::is_wanted_exclusively(database) {
            jobs::send_away(database);
            return Left::ForGood;
        }
        worker.keep_mail();
        if place == 0 {
            worker.jobs.tend();
            worker.weeks.tend();
        }
        let folding = place == 0 && worker.fold.tend();
        if folding {
            worker.idle_since = Instant::now();
        }
        match worker.step() {
            Ok(Step::Worked) => worker.idle_since = Instant::now(),
            Ok(Step::Idle) if folding => {}
            Ok(Step::Idle) if worker.may_leave() => return worker.left(),
            Ok(Step::Idle) => worker.nap(),
            Ok(Step::Leave) => return Left::ForGood,
            Err(error) => worker.back_off(&error),
        }
    }
}

enum Step {
    Worked,
    Idle,
    Leave,
}

impl Worker {
    fn step(&mut self) -> Result<Step> {
        if self.under_way.len() < MOST_UNDER_WAY {
            let all = self.under_way.is_empty() || self.looked.elapsed() >= LOOK;
            if all {
                self.looked = Instant::now();
            }
            match self.claim(all)? {
                Claimed::Nothing => {}
                Claimed::Something => return Ok(Step::Worked),
                Claimed::NoExtension => return Ok(Step::Leave),
            }
        }
        if let Some(under_way) = self.under_way.pop_front() {
            let id = under_way.batch.collection.id;
            self.finish(under_way);
            if self.appended.get(&id).is_some_and(|appended| *appended >= VERY_MANY) {
                self.appended.insert(id, 0);
                settle::fold_meanwhile(id)?;
            }
            return Ok(Step::Worked);
        }
        if self.settle()? { Ok(Step::Worked) } else { Ok(Step::Idle) }
    }

    /// Takes work and begins with it.
    fn claim(&mut self, all: bool) -> Result<Claimed> {
        let claim = in_transaction(|| {
            with_safe_search_path(|| {
                connect(|| {
                    unlock(&self.locks)?;
                    self.locks.clear();
                    if extension::is_installed()? { self.hands.claim(all).map(Some) } else { Ok(None) }
                })
            })
        })?;
        match claim {
            None => Ok(Claimed::NoExtension),
            Some(None) => Ok(Claimed::Nothing),
            Some(Some(claim)) => {
                self.take_up(claim)?;
                Ok(Claimed::Something)
            }
        }
    }

    fn take_up(&mut self, claim: Claim) -> Result<()> {
        match claim {
            Claim::Orphans(ids) => {
                in_transaction(|| with_safe_search_path(|| connect(|| queue::delete(&ids))))
            }
            Claim::All(mut collection, ids) => {
                activity::report(&format!("ragstone: comparing collection {}", collection.name));
                self.touched.insert(collection.id);
                let compared = in_transaction(|| {
                    with_safe_search_path(|| {
                        let noted = reconcile::compare(&mut collection, Depth::Content)?;
                        connect(|| {
                            failure::set_error(collection.id, None)?;
                            queue::delete(&ids)
                        })?;
                        Ok(noted)
                    })
                });
                match compared {
                    Ok(noted) => {
                        self.pauses.remove(&collection.id);
                        self.rate(&collection).expect(noted);
                    }
                    Err(error) => self.pause(collection.id, &error)?,
                }
                Ok(())
            }
            Claim::Rows(collection, items, locks) => {
                if self.place == 0 && items.len() >= MUCH {
                    slots::ensure_more(self.database);
                }
                self.touched.insert(collection.id);
                self.begin(collection, items, locks);
                Ok(())
            }
        }
    }

    fn begin(&mut self, collection: Collection, items: Vec<(Key, Vec<i64>)>, locks: Vec<i64>) {
        let (rows, name) = (items.len(), &collection.name);
        activity::report(&format!("ragstone: embedding {rows} rows of collection {name}"));
        let (id, taken) = (collection.id, items.clone());
        match self.prepare(collection, items) {
            Ok(batch) => self.under_way.push_back(UnderWay { batch, locks }),
            Err(error) => {
                self.locks.extend(locks);
                self.fail(id, &taken, &error);
            }
        }
    }

    /// Reads, cuts and sends. No transaction is open while the engine works.
    fn prepare(&mut self, collection: Collection, items: Vec<(Key, Vec<i64>)>) -> Result<Batch> {
        let (mut batch, later) = in_transaction(|| {
            with_safe_search_path(|| {
                connect(|| {
                    let mut batch = Batch::new(collection, items)?;
                    let later = batch.read()?;
                    Ok((batch, later))
                })
            })
        })?;
        for item in later {
            self.hands.put_down(batch.collection.id, &item.key, &item.ids);
        }
        outside_transaction(|| batch.cut())?;
        in_transaction(|| with_safe_search_path(|| batch.analyse()))?;
        outside_transaction(|| batch.send())?;
        Ok(batch)
    }

    /// Waits for a batch's embeddings and writes it.
    fn finish(&mut self, under_way: UnderWay) {
        let UnderWay { mut batch, locks } = under_way;
        activity::report(&format!("ragstone: writing collection {}", batch.collection.name));
        let id = batch.collection.id;
        let written = outside_transaction(|| batch.receive())
            .and_then(|()| in_transaction(|| with_safe_search_path(|| write(&mut batch))));
        self.locks.extend(locks);
        match written {
            Ok(written) => self.done(&batch, &written),
            Err(error) => {
                let taken: Vec<_> = batch.items.into_iter().map(|item| (item.key, item.ids)).collect();
                self.fail(id, &taken, &error);
            }
        }
    }

    fn done(&mut self, batch: &Batch, written: &Written) {
        let id = batch.collection.id;
        for item in &batch.items {
            self.hands.put_down(id, &item.key, &item.ids);
        }
        for item in &written.left {
            self.hands.leave(item.ids.iter().copied());
        }
        if batch.items.len() == 1 && written.left.is_empty() {
            self.hands.alone.remove(&(id, batch.items[0].key.clone()));
        }
        self.pauses.remove(&id);
        self.backoff = BACKOFF.0;
        let unread = batch.items.iter().filter(|item| item.found == Found::Same).count();
        self.rate(&batch.collection).add(written.rows - unread.min(written.rows));
        *self.appended.entry(id).or_insert(0) += written.words as i64;
    }

    fn rate(&mut self, collection: &Collection) -> &mut Rate {
        self.rates.entry(collection.id).or_insert_with(|| Rate::start(&collection.name))
    }

    /// Says what becomes of rows that could not be indexed.
    fn fail(&mut self, collection: i64, items: &[(Key, Vec<i64>)], error: &Error) {
        for (key, ids) in items {
            self.hands.put_down(collection, key, ids);
        }
        match (blame(error), items) {
            (Blame::Row, [(key, ids)]) => {
                let recorded =
                    in_transaction(|| with_safe_search_path(|| failure::record(collection, key, ids, error)));
                if let Err(error) = recorded {
                    self.back_off(&error);
                }
            }
            (Blame::Row | Blame::Transient, _) => {
                self.hands.alone.extend(items.iter().map(|(key, _)| (collection, key.clone())));
                self.hands.leave(items.iter().flat_map(|(_, ids)| ids.iter().copied()));
            }
            (Blame::Collection, _) => {
                if let Err(error) = self.pause(collection, error) {
                    self.back_off(&error);
                }
            }
            (Blame::Environment, _) => self.back_off(error),
        }
    }

    /// Leaves a collection alone for a while, with the reason in its row.
    fn pause(&mut self, collection: i64, error: &Error) -> Result<()> {
        let before = self.pauses.get(&collection).copied();
        let pause = before.unwrap_or(BACKOFF.0);
        self.pauses.insert(collection, (pause * 2).min(BACKOFF.1));
        self.hands.paused.insert(collection, Instant::now() + pause);
        match blame(error) {
            Blame::Transient => Ok(()),
            // A column may have been renamed since the collection was read; what is really wrong is so the next time, too.
            Blame::Collection if before.is_none() => Ok(()),
            Blame::Environment => Err(error.clone()),
            Blame::Row | Blame::Collection => in_transaction(|| {
                with_safe_search_path(|| connect(|| failure::set_error(collection, Some(error))))
            }),
        }
    }

    /// Lets everything rest for a while: nothing is charged to any row.
    fn back_off(&mut self, error: &Error) {
        if self.backoff == BACKOFF.0 {
            log!("ragstone worker: {}: {}", error.code(), error.message);
        }
        for under_way in std::mem::take(&mut self.under_way) {
            for item in &under_way.batch.items {
                self.hands.put_down(under_way.batch.collection.id, &item.key, &item.ids);
            }
            self.locks.extend(under_way.locks);
        }
        activity::report(&format!("ragstone: waiting {:?} after a failure", self.backoff));
        let until = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            // What failed may have been a setting.
            if databases::is_wanted_exclusively(self.database) || reload_if_told() {
                return;
            }
            self.wait(left.min(NAP));
        }
    }

    /// Finishes what can be finished where nothing is left to do for a collection.
    fn settle(&mut self) -> Result<bool> {
        if self.place == 0 && self.compared.elapsed() >= settings::sync_compare_interval() {
            self.compared = Instant::now();
            self.compare_keys()?;
        }
        let mut any = false;
        for id in self.touched.iter().copied().collect::<Vec<_>>() {
            // A worker before this one may have left many.
            let appended = self.appended.get(&id).copied().unwrap_or(i64::MAX);
            match settle::settle(id, appended) {
                Ok(Settled::Later) => {}
                Ok(Settled::Done) => {
                    any = true;
                    self.touched.remove(&id);
                    self.rates.remove(&id);
                    if appended >= settle::MANY {
                        self.appended.insert(id, 0);
                    }
                }
                Err(error) => self.pause(id, &error)?,
            }
        }
        Ok(any)
    }

    fn compare_keys(&mut self) -> Result<()> {
        for mut collection in in_transaction(|| with_safe_search_path(|| connect(settle::followed)))? {
            let compared =
                in_transaction(|| with_safe_search_path(|| reconcile::compare(&mut collection, Depth::Keys)));
            if let Err(error) = compared {
                self.pause(collection.id, &error)?;
            }
        }
        Ok(())
    }

    /// A worker before this one may have left something unfinished.
    fn touch_unfilled(&mut self) {
        let followed = in_transaction(|| {
            with_safe_search_path(|| {
                connect(|| if extension::is_installed()? { settle::followed() } else { Ok(Vec::new()) })
            })
        });
        if let Ok(followed) = followed {
            self.touched.extend(followed.into_iter().map(|collection| collection.id));
        }
    }

    fn left(&self) -> Left {
        if self.weeks.are_unfinished() {
            Left::Unfinished
        } else if slots::has_requests() {
            Left::ForOthers
        } else {
            Left::Idle
        }
    }

    fn may_leave(&self) -> bool {
        let idle = self.idle_since.elapsed();
        let more = self.place > 0 || slots::has_requests();
        let nothing = self.touched.is_empty() && self.hands.paused.is_empty();
        if nothing && self.jobs.has_jobs() {
            // Jobs go on by themselves. Another worker looks after them when it is this database's turn again.
            return more && idle > NAP;
        }
        let may = nothing && (idle > settings::sync_idle_timeout() || (more && idle > NAP));
        if may && self.mail.as_ref().is_some_and(|mail| mail.is_needed()) {
            return false;
        }
        let is_left = || self.weeks.are_unfinished() || has_mail_left(self.database) || has_steps_left();
        if may && self.mail.is_some() && is_left() {
            // As for jobs: the rest is done when it is this database's turn again.
            return more;
        }
        may
    }

    fn nap(&mut self) {
        activity::report_idle();
        let wake = self.hands.next().map_or(NAP, |at| at.saturating_duration_since(Instant::now()));
        self.wait(wake.clamp(Duration::from_millis(1), NAP));
    }

    /// Waits for the latch, and writes mail that comes meanwhile.
    fn wait(&mut self, timeout: Duration) {
        let Some(mail) = &self.mail else { return wait::for_latch(timeout) };
        mail.nap(timeout);
        let until = Instant::now() + BUSY;
        // Under load there is more as soon as some is written, and the rest of the loop costs more than to write that.
        while self.keep_mail() && Instant::now() < until {
            wait::serve_interrupts();
            if let Some(mail) = &self.mail {
                mail.nap(FOLLOWS);
            }
        }
    }

    /// Writes what mail there is. Gives whether there was some.
    fn keep_mail(&mut self) -> bool {
        let any = self.mail.as_mut().is_some_and(Mail::keep);
        if any {
            self.idle_since = Instant::now();
        }
        any
    }
}

/// Reads the settings again after SIGHUP; gives whether there was one. Only where no transaction is open.
fn reload_if_told() -> bool {
    let told = BackgroundWorker::sighup_received();
    if told {
        reload_configuration();
    }
    told
}

enum Claimed {
    Something,
    Nothing,
    NoExtension,
}

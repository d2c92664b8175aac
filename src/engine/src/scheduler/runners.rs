//! Counts the threads that have a copy of a model, by activity.

/// The kind of copy that a thread has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelCopy {
    /// The copy that runs a batch with all of the engine's threads, while there is only one batch.
    Sole,
    /// One of several copies, each with a part of the threads, which run batches concurrently.
    Parallel,
}

/// The threads of one model.
#[derive(Debug, Default)]
pub(super) struct Runners {
    sole: Counts,
    parallel: Counts,
    /// Maximum number of threads with parallel copies; known once the first thread has loaded the model.
    pub(super) most_parallel: usize,
    pub(super) runtime: Option<&'static str>,
}

impl Runners {
    /// Number of threads.
    pub(super) fn count(&self) -> usize {
        self.sole.all() + self.parallel.all()
    }

    /// Number of threads with a parallel copy.
    pub(super) fn parallel(&self) -> usize {
        self.parallel.all()
    }

    /// True if there are no threads.
    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// True if the model is in memory and no thread works.
    pub(super) fn are_idle(&self) -> bool {
        let idle = self.sole.idle + self.parallel.idle;
        idle > 0 && idle == self.count()
    }

    /// The library that runs the model, if the model is in memory.
    pub(super) fn runtime(&self) -> Option<&'static str> {
        self.runtime
            .filter(|_| [&self.sole, &self.parallel].iter().any(|counts| counts.loading < counts.all()))
    }

    /// Counts a thread that begins this activity.
    pub(super) fn enter(&mut self, copy: ModelCopy, activity: Activity) {
        *self.count_of(copy, activity) += 1;
    }

    /// Removes a thread that ends this activity from the counts.
    pub(super) fn leave(&mut self, copy: ModelCopy, activity: Activity) {
        *self.count_of(copy, activity) -= 1;
    }

    fn count_of(&mut self, copy: ModelCopy, activity: Activity) -> &mut usize {
        let counts = match copy {
            ModelCopy::Sole => &mut self.sole,
            ModelCopy::Parallel => &mut self.parallel,
        };
        match activity {
            Activity::Loading => &mut counts.loading,
            Activity::Idle => &mut counts.idle,
            Activity::Busy => &mut counts.busy,
        }
    }

    /// True if another parallel copy would have work while texts wait.
    pub(super) fn want_another(&self) -> bool {
        self.parallel.loading + self.parallel.idle == 0 && self.parallel.busy < self.most_parallel
    }

    /// True if an idle thread with this copy should run the next batch: the sole copy finishes a single batch soonest,
    /// parallel copies finish several. Of two idle threads with different copies exactly one may run it.
    pub(super) fn may_run(&self, copy: ModelCopy, only_batch: bool) -> bool {
        let by_sole = self.parallel.busy == 0 && (only_batch || self.parallel.idle == 0);
        match copy {
            ModelCopy::Sole => by_sole,
            ModelCopy::Parallel => self.sole.idle == 0 || !by_sole,
        }
    }
}

/// Number of threads by activity.
#[derive(Debug, Default)]
struct Counts {
    loading: usize,
    idle: usize,
    busy: usize,
}

impl Counts {
    fn all(&self) -> usize {
        self.loading + self.idle + self.busy
    }
}

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    Loading,
    Idle,
    Busy,
}

#[cfg(test)]
mod tests {
    use super::{Activity::*, ModelCopy::*, *};

    fn runners(threads: &[(ModelCopy, Activity)]) -> Runners {
        let mut runners = Runners { most_parallel: 2, ..Runners::default() };
        threads.iter().for_each(|&(copy, activity)| runners.enter(copy, activity));
        runners
    }

    #[test]
    fn a_batch_by_itself_is_for_the_sole_copy_and_several_are_for_the_parallel_ones() {
        let all_idle = runners(&[(Sole, Idle), (Parallel, Idle), (Parallel, Idle)]);
        assert!(all_idle.may_run(Sole, true) && !all_idle.may_run(Parallel, true));
        assert!(!all_idle.may_run(Sole, false) && all_idle.may_run(Parallel, false));
    }

    #[test]
    fn what_comes_during_a_batch_is_for_a_parallel_copy() {
        let sole_busy = runners(&[(Sole, Busy), (Parallel, Idle)]);
        assert!(sole_busy.may_run(Parallel, true));
        let one_busy = runners(&[(Sole, Idle), (Parallel, Busy), (Parallel, Idle)]);
        assert!(!one_busy.may_run(Sole, true) && one_busy.may_run(Parallel, true));
    }

    #[test]
    fn the_sole_copy_runs_everything_until_a_parallel_one_is_loaded() {
        let loading = runners(&[(Sole, Idle), (Parallel, Loading)]);
        assert!(loading.may_run(Sole, false) && loading.may_run(Sole, true));
    }

    #[test]
    fn parallel_copies_run_everything_when_the_sole_one_is_lost() {
        let lost = runners(&[(Parallel, Idle)]);
        assert!(lost.may_run(Parallel, true) && lost.may_run(Parallel, false));
    }

    #[test]
    fn parallel_copies_are_loaded_one_after_the_other() {
        assert!(runners(&[(Sole, Busy)]).want_another());
        assert!(!runners(&[(Sole, Busy), (Parallel, Loading)]).want_another());
        assert!(runners(&[(Sole, Idle), (Parallel, Busy)]).want_another());
        assert!(!runners(&[(Sole, Idle), (Parallel, Busy), (Parallel, Busy)]).want_another());
        assert!(!Runners::default().want_another());
    }
}

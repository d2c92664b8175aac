//! How many threads have a model, and what they do.

/// Which copy of a model a thread has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelCopy {
    /// The one that runs a batch with all of the engine's threads, while it is the only batch.
    Sole,
    /// One of several, each with a part of the threads, which run batches side by side.
    Parallel,
}

/// The threads of one model.
#[derive(Debug, Default)]
pub(super) struct Runners {
    sole: Counts,
    parallel: Counts,
    /// How many there may be with parallel copies; known once the first thread has loaded the model.
    pub(super) most_parallel: usize,
    pub(super) runtime: Option<&'static str>,
}

impl Runners {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.sole.all() + self.parallel.all()
    }

    /// How many have a parallel copy.
    pub(super) fn parallel(&self) -> usize {
        self.parallel.all()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether the model is in memory and none works.
    pub(super) fn are_idle(&self) -> bool {
        let idle = self.sole.idle + self.parallel.idle;
        idle > 0 && idle == self.count()
    }

    /// What runs the model, if it is in memory.
    pub(super) fn runtime(&self) -> Option<&'static str> {
        self.runtime
            .filter(|_| [&self.sole, &self.parallel].iter().any(|counts| counts.loading < counts.all()))
    }

    /// Counts a thread that does this from now on.
    pub(super) fn enter(&mut self, copy: ModelCopy, activity: Activity) {
        *self.count_of(copy, activity) += 1;
    }

    /// Counts a thread that does this no more.
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

    /// Whether another parallel copy would have work, when texts still wait.
    pub(super) fn want_another(&self) -> bool {
        self.parallel.loading + self.parallel.idle == 0 && self.parallel.busy < self.most_parallel
    }

    /// Whether an idle thread with this copy is to run the next batch: a batch by itself is done soonest by the sole copy, several by
    /// the parallel ones. Of two idle threads with different copies exactly one may.
    pub(super) fn may_run(&self, copy: ModelCopy, only_batch: bool) -> bool {
        let by_sole = self.parallel.busy == 0 && (only_batch || self.parallel.idle == 0);
        match copy {
            ModelCopy::Sole => by_sole,
            ModelCopy::Parallel => self.sole.idle == 0 || !by_sole,
        }
    }
}

/// How many threads do what.
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

/// What a thread does.
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

//! How many threads have a model, and what they do.

/// The threads of one model.
#[derive(Debug, Default)]
pub(super) struct Runners {
    loading: usize,
    idle: usize,
    busy: usize,
    /// How many there may be; known once the first has loaded the model.
    pub(super) most: usize,
    pub(super) runtime: Option<&'static str>,
}

impl Runners {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.loading + self.idle + self.busy
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether the model is in memory and none works.
    pub(super) fn are_idle(&self) -> bool {
        self.idle > 0 && self.loading + self.busy == 0
    }

    /// What runs the model, if it is in memory.
    pub(super) fn runtime(&self) -> Option<&'static str> {
        self.runtime.filter(|_| self.idle + self.busy > 0)
    }

    /// Counts a thread that does this from now on.
    pub(super) fn enter(&mut self, activity: Activity) {
        *self.count_of(activity) += 1;
    }

    /// Counts a thread that does this no more.
    pub(super) fn leave(&mut self, activity: Activity) {
        *self.count_of(activity) -= 1;
    }

    fn count_of(&mut self, activity: Activity) -> &mut usize {
        match activity {
            Activity::Loading => &mut self.loading,
            Activity::Idle => &mut self.idle,
            Activity::Busy => &mut self.busy,
        }
    }

    /// Whether another one would have work.
    pub(super) fn want_another(&self) -> bool {
        self.loading + self.idle == 0 && self.busy < self.most
    }
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    Loading,
    Idle,
    Busy,
}

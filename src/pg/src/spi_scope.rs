//! How long the rows of a statement are in memory: up to the end of the connection to SPI in which it ran, or until the
//! subtransaction is rolled back in which it ran.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

thread_local! {
    /// That of the statements that run now; none outside of a connection.
    static CURRENT: RefCell<Option<Rc<Scope>>> = const { RefCell::new(None) };
}

/// A connection to SPI, or a subtransaction in one.
pub struct Scope {
    is_open: Cell<bool>,
    /// What a subtransaction was begun in.
    parent: Option<Rc<Scope>>,
}

impl Scope {
    /// That of the statements that run now.
    pub fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Whether rows of statements that ran in it are still in memory.
    pub fn has_rows(&self) -> bool {
        self.is_open.get() && self.parent.as_ref().is_none_or(|parent| parent.has_rows())
    }

    /// Whether statements that run now belong to the same connection.
    pub fn is_of_current_connection(self: &Rc<Self>) -> bool {
        Self::current()
            .is_some_and(|current| Rc::ptr_eq(&Self::connection(&current), &Self::connection(self)))
    }

    fn connection(scope: &Rc<Self>) -> Rc<Self> {
        scope.parent.as_ref().map_or_else(|| Rc::clone(scope), Self::connection)
    }
}

/// A scope that has been entered. When it is dropped, also by an ERROR, its rows are not read any more.
pub struct Entered {
    /// None for a subtransaction outside of a connection.
    scope: Option<Rc<Scope>>,
    outer: Option<Rc<Scope>>,
    keeps_rows: Cell<bool>,
}

impl Entered {
    /// Enters a connection, which must have been opened.
    pub fn connection() -> Self {
        Self::enter(Some(Scope { is_open: Cell::new(true), parent: None }))
    }

    /// Enters a subtransaction.
    pub fn subtransaction() -> Self {
        Self::enter(Scope::current().map(|outer| Scope { is_open: Cell::new(true), parent: Some(outer) }))
    }

    /// Notes that the subtransaction was not rolled back.
    pub fn keep_rows(&self) {
        self.keeps_rows.set(true);
    }

    fn enter(scope: Option<Scope>) -> Self {
        let scope = scope.map(Rc::new);
        let outer = CURRENT.replace(scope.clone());
        Self { scope, outer, keeps_rows: Cell::new(false) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(scope) = self.scope.as_ref().filter(|_| !self.keeps_rows.get()) {
            scope.is_open.set(false);
        }
        CURRENT.replace(self.outer.take());
    }
}

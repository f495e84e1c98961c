//! What a program that began a run in its own process sees of it while it goes on, and how it ends it.
//!
//! A run belongs to the watcher that is current on the thread that begins it; whatever hands a part of it to another thread hands the
//! watcher on.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Watcher>>> = const { RefCell::new(None) };
}

/// Hears how far a run has come, and may stop it.
#[derive(Debug, Default)]
pub struct Watcher {
    stopped: AtomicBool,
    total: AtomicU64,
    position: AtomicU64,
    message: Mutex<String>,
}

/// How far a run has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Steps in all; 0 where nothing is known of them.
    pub total: u64,
    /// Steps that are done.
    pub position: u64,
    /// What is to be said of it.
    pub message: String,
}

impl Watcher {
    /// Ends the run at its next step by [`Error::Stopped`].
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// How far the run has come.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            total: self.total.load(Ordering::Relaxed),
            position: self.position.load(Ordering::Relaxed),
            message: self.message.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// So many steps lie ahead, of which some were done by an earlier attempt.
    pub(super) fn begin(&self, total: u64, done: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.position.store(done, Ordering::Relaxed);
    }

    pub(super) fn set_position(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }

    pub(super) fn inc(&self) {
        self.position.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_message(&self, message: String) {
        *self.message.lock().unwrap_or_else(PoisonError::into_inner) = message;
    }
}

/// The watcher of what this thread does.
#[must_use]
pub fn current() -> Option<Arc<Watcher>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Does `work` under a watcher. A thread that works for several runs in turn has that of each while it does.
pub fn within<R>(watcher: Option<Arc<Watcher>>, work: impl FnOnce() -> R) -> R {
    struct Before(Option<Arc<Watcher>>);

    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }

    let _before = Before(CURRENT.replace(watcher));
    work()
}

/// Whether whoever watches wants an end.
#[must_use]
pub fn is_stopped() -> bool {
    CURRENT.with_borrow(|current| current.as_ref().is_some_and(|w| w.stopped.load(Ordering::Relaxed)))
}

/// A place at which a run can end.
///
/// # Errors
/// [`Error::Stopped`] if whoever watches wants an end.
pub fn check() -> Result<()> {
    if is_stopped() { Err(Error::Stopped) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_is_that_of_its_work_alone() {
        let (outer, inner) = (Arc::new(Watcher::default()), Arc::new(Watcher::default()));
        assert!(current().is_none() && check().is_ok());
        within(Some(Arc::clone(&outer)), || {
            inner.stop();
            within(Some(Arc::clone(&inner)), || assert!(matches!(check(), Err(Error::Stopped))));
            assert!(check().is_ok());
            let elsewhere = current();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    assert!(current().is_none());
                    within(elsewhere, || outer.stop());
                });
            });
            assert!(check().is_err());
        });
        assert!(check().is_ok());
        let panicked = std::panic::catch_unwind(|| within(Some(inner), || panic!("a test")));
        assert!(panicked.is_err() && current().is_none());
    }
}

//! Work without the interpreter's lock: Python goes on beside it, and Ctrl-C ends it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holograd::Error;
use holograd::host::watcher::{self, Standing, Watcher};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::Answer;

/// How often signals are looked for, and progress is told.
const PATIENCE: Duration = Duration::from_millis(50);

/// The threads of short work, and the process that they are in.
static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

fn new_pool() -> holograd::Result<ThreadPool> {
    ThreadPoolBuilder::new().build().map_err(|e| {
        Error::memory(
            "the threads",
            "",
            format!("the system refuses to start them: {e}"),
            "lower RAYON_NUM_THREADS",
        )
    })
}

/// The threads of short work. A process that was forked has none of its parent's.
fn pool() -> holograd::Result<Arc<ThreadPool>> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((owner, pool)) = &*pool
        && *owner == process
    {
        return Ok(Arc::clone(pool));
    }
    let new = Arc::new(new_pool()?);
    // Nobody is left to end the threads of the parent.
    std::mem::forget(pool.replace((process, Arc::clone(&new))));
    Ok(new)
}

/// Does work on this thread that is over before anybody could want an end of it, and that has nothing to share out: to wake another
/// thread would take longer.
pub fn at_once<R: Send>(py: Python<'_>, work: impl FnOnce() -> holograd::Result<R> + Send) -> Answer<R> {
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(work)));
    Ok(done.unwrap_or_else(|panic| Err(panicked(&*panic)))?)
}

/// Does short work.
pub fn attended<R: Send>(py: Python<'_>, work: impl FnOnce() -> holograd::Result<R> + Send) -> Answer<R> {
    let pool = py.detach(pool)?;
    on(&pool, py, None, work)
}

/// Does a whole run, on threads of its own: while it waits for others they would begin the work of another run. `progress` is
/// called with steps in all, steps that are done and a text.
pub fn run<R: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce() -> holograd::Result<R> + Send,
) -> Answer<R> {
    let pool = py.detach(new_pool)?;
    on(&pool, py, progress, work)
}

fn on<R: Send>(
    pool: &ThreadPool,
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce() -> holograd::Result<R> + Send,
) -> Answer<R> {
    let watcher = Arc::new(Watcher::default());
    let (outcome, raised) = py.detach(|| {
        let (sender, receiver) = channel();
        let watched = Arc::clone(&watcher);
        pool.in_place_scope(|scope| {
            scope.spawn(move |_| {
                let done = catch_unwind(AssertUnwindSafe(|| watcher::within(Some(watched), work)));
                // Whoever waits does so until this has come.
                let _ = sender.send(done);
            });
            let mut raised = None;
            let mut told = Standing::default();
            loop {
                match receiver.recv_timeout(PATIENCE) {
                    Ok(Ok(outcome)) => return (outcome, raised),
                    Ok(Err(panic)) => return (Err(panicked(&*panic)), raised),
                    Err(RecvTimeoutError::Disconnected) => {
                        return (Err(Error::Internal("the work has vanished".into())), raised);
                    }
                    Err(RecvTimeoutError::Timeout) if raised.is_some() => {}
                    Err(RecvTimeoutError::Timeout) => {
                        let looked = Python::attach(|py| look(py, &watcher, progress.as_ref(), &mut told));
                        if let Err(error) = looked {
                            watcher.stop();
                            raised = Some(error);
                        }
                    }
                }
            }
        })
    });
    match raised {
        Some(error) => Err(error.into()),
        None => Ok(outcome?),
    }
}

/// Looks for signals, and tells how far the work has come if that has changed.
fn look(
    py: Python<'_>,
    watcher: &Watcher,
    progress: Option<&Py<PyAny>>,
    told: &mut Standing,
) -> PyResult<()> {
    py.check_signals()?;
    let Some(progress) = progress else { return Ok(()) };
    let standing = watcher.standing();
    if standing != *told && standing.total > 0 {
        progress.call1(py, (standing.total, standing.position, &standing.message))?;
        *told = standing;
    }
    Ok(())
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Error::Internal(text.unwrap_or_else(|| "a panic".to_owned()))
}

/// Does something on this thread; what panics is an error.
pub fn guarded<R>(work: impl FnOnce() -> Answer<R>) -> Answer<R> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic).into()))
}

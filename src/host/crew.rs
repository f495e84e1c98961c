//! The threads of runs that go on beside each other: those of a run after which nothing is left to do fall to the others.
//!
//! Each place begins with its share of the threads. What takes a run long and is parallel it does through [`spread`], on the threads that are the
//! share of its place then. Results do not depend on how many these are.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::watcher;
use crate::error::{Error, Result};

thread_local! {
    /// The place that a thread belongs to.
    static CURRENT: RefCell<Weak<Place>> = const { RefCell::new(Weak::new()) };
}

/// Threads, and the places that have them: their numbers, in order.
#[derive(Debug)]
struct Crew {
    threads: usize,
    places: Mutex<Vec<usize>>,
}

/// A place in a crew, for runs one after the other. Where it is dropped its threads fall to the others.
#[derive(Debug)]
pub struct Place {
    crew: Arc<Crew>,
    number: usize,
    /// The threads that it has had last.
    pool: Mutex<Option<Arc<ThreadPool>>>,
}

/// Shares threads out among so many places, at most as many as there are threads.
#[must_use]
pub fn places(threads: usize, count: usize) -> Vec<Arc<Place>> {
    let crew = Arc::new(Crew { threads, places: Mutex::new((0..count).collect()) });
    let place = |number| Arc::new(Place { crew: Arc::clone(&crew), number, pool: Mutex::default() });
    (0..count).map(place).collect()
}

/// Does what is parallel within a run on the threads that are the share of its place now; elsewhere on those of the current pool.
pub fn spread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    // Where the system gives no more threads, those that are there must do.
    let pool = CURRENT.with_borrow(Weak::upgrade).and_then(|place| place.pool().ok());
    match pool {
        Some(pool) if pool.current_num_threads() != rayon::current_num_threads() => pool.install(work),
        _ => work(),
    }
}

impl Place {
    /// Does a run on the threads of this place, under the watcher of whoever calls.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system gives no thread.
    pub fn work<R: Send>(self: &Arc<Self>, run: impl FnOnce() -> R + Send) -> Result<R> {
        let watcher = watcher::current();
        Ok(self.pool()?.install(|| watcher::within(watcher, run)))
    }

    /// The threads that are its share now: once given they stay, and may become more.
    fn pool(self: &Arc<Self>) -> Result<Arc<ThreadPool>> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let share = self.crew.share(self.number);
        if let Some(pool) = pool.as_ref().filter(|pool| pool.current_num_threads() >= share) {
            return Ok(Arc::clone(pool));
        }
        let place = Arc::downgrade(self);
        let joins = move |_| CURRENT.set(Weak::clone(&place));
        let grown = ThreadPoolBuilder::new().num_threads(share).start_handler(joins).build();
        let grown = grown.map_err(|e| Error::Internal(format!("no thread to work on: {e}")))?;
        Ok(Arc::clone(pool.insert(Arc::new(grown))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.crew.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|number| *number != self.number);
    }
}

impl Crew {
    /// How many threads a place has: all that are there, shared out evenly, the first places one more where it does not come out even.
    fn share(&self, number: usize) -> usize {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let before = places.iter().take_while(|other| **other < number).count();
        self.threads.saturating_sub(before).div_ceil(places.len().max(1)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rayon::prelude::*;

    use super::*;

    #[test]
    fn threads_are_shared_out_and_none_is_left_over() {
        for threads in 1..20 {
            for count in 1..=threads {
                let mut places = places(threads, count);
                let mut before = vec![0; count];
                while !places.is_empty() {
                    let shares: Vec<usize> = places.iter().map(|p| p.crew.share(p.number)).collect();
                    assert_eq!(shares.iter().sum::<usize>(), threads, "{shares:?}");
                    assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
                    let kept =
                        places.iter().zip(&shares).all(|(place, share)| *share >= before[place.number]);
                    assert!(kept, "{before:?} became {shares:?}");
                    places.iter().zip(shares).for_each(|(place, share)| before[place.number] = share);
                    places.remove(places.len() / 2);
                }
            }
        }
    }

    /// A run that goes on while the one beside it ends has the threads of both from then on, and is watched as before.
    #[test]
    fn threads_of_a_run_that_has_ended_fall_to_those_that_go_on() {
        let mut places = places(3, 2);
        let (short, long) = (places.pop().unwrap(), places.pop().unwrap());
        let [(begun, waits), (ended, hears)] = [(); 2].map(|()| channel::<()>());
        let watcher = Arc::new(watcher::Watcher::default());
        std::thread::scope(|scope| {
            let seen = scope.spawn(move || {
                watcher::within(Some(watcher), || {
                    long.work(move || {
                        let threads = || spread(rayon::current_num_threads);
                        let before = threads();
                        begun.send(()).unwrap();
                        hears.recv().unwrap();
                        let squares: Vec<usize> =
                            spread(|| (0..100).into_par_iter().map(|i| i * i).collect());
                        assert_eq!(squares[99], 9801);
                        assert!(watcher::current().is_some());
                        (before, threads())
                    })
                })
            });
            waits.recv().unwrap();
            short.work(|| assert_eq!(spread(rayon::current_num_threads), 1)).unwrap();
            drop(short);
            ended.send(()).unwrap();
            assert_eq!(seen.join().unwrap().unwrap(), (2, 3));
        });
        assert_eq!(spread(rayon::current_num_threads), rayon::current_num_threads());
    }
}

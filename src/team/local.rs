//! Ranks that are threads of one process: what they do together is tested without a launcher.

use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Team, Transport, within};

struct Local {
    rank: usize,
    /// To each rank, and from each: first what all do together, then single messages.
    to: [Vec<Sender<Vec<u8>>>; 2],
    from: [Vec<Receiver<Vec<u8>>>; 2],
}

impl Transport for Local {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to[0].len()
    }

    fn all_gather(&self, mine: &[u8]) -> Vec<Vec<u8>> {
        self.to[0].iter().for_each(|to| to.send(mine.to_vec()).unwrap());
        self.from[0].iter().map(|from| from.recv().unwrap()).collect()
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) {
        let all = self.all_gather(bytes);
        bytes.copy_from_slice(&all[root]);
    }

    fn send(&self, to: usize, bytes: &[u8]) {
        self.to[1][to].send(bytes.to_vec()).unwrap();
    }

    fn receive(&self, from: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.from[1][from].recv().unwrap());
    }

    fn poll(&self) -> Option<(usize, Vec<u8>)> {
        self.from[1].iter().enumerate().find_map(|(rank, from)| Some((rank, from.try_recv().ok()?)))
    }
}

/// Does `work` on so many ranks with so many threads each; returns what each has come to.
pub(crate) fn together<R: Send>(ranks: usize, threads: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
    let mut places: Vec<Local> = (0..ranks)
        .map(|rank| Local { rank, to: [Vec::new(), Vec::new()], from: [Vec::new(), Vec::new()] })
        .collect();
    for kind in 0..2 {
        for (from, to) in (0..ranks).flat_map(|from| (0..ranks).map(move |to| (from, to))) {
            let (sender, receiver) = channel();
            places[from].to[kind].push(sender);
            places[to].from[kind].push(receiver);
        }
    }
    std::thread::scope(|scope| {
        let work = &work;
        let spawn = |place: Local| {
            scope.spawn(move || {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| within(Some(Rc::new(Team::new(Box::new(place)))), work))
            })
        };
        let ranks: Vec<_> = places.into_iter().map(spawn).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

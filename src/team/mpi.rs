//! Ranks that an MPI launcher has started: `mpirun -n 4 holograd run …`.

use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::point_to_point::MatchedReceiveVec;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Destination, Root, Source};

use super::{Team, Transport};

/// Bytes of a message at most: MPI counts in 32 bits.
const MOST: usize = 1 << 30;

/// What a panic ends the other ranks with.
const PANICKED: i32 = 101;

struct Mpi {
    world: SimpleCommunicator,
    // The last to be dropped: then all is over.
    _universe: Universe,
}

/// The processes that were started with this one; only the thread that calls this may speak to them. None where MPI runs already.
#[must_use]
pub fn join() -> Option<Team> {
    let (universe, _) = mpi::environment::initialize_with_threading(Threading::Funneled)?;
    Some(Team::new(Box::new(Mpi { world: universe.world(), _universe: universe })))
}

impl Mpi {
    fn gather_large(&self, mine: &[u8], counts: &[i32]) -> Vec<Vec<u8>> {
        let gathered = counts.iter().enumerate().map(|(rank, count)| {
            let mut bytes = if rank == self.rank() { mine.to_vec() } else { vec![0; *count as usize] };
            self.broadcast(rank, &mut bytes);
            bytes
        });
        gathered.collect()
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn all_gather(&self, mine: &[u8]) -> Vec<Vec<u8>> {
        let mut counts = vec![0_i32; self.size()];
        let count = i32::try_from(mine.len()).expect("a message of less than 2 GiB");
        self.world.all_gather_into(&count, &mut counts[..]);
        let whole: usize = counts.iter().map(|count| *count as usize).sum();
        if whole > MOST {
            return self.gather_large(mine, &counts);
        }
        let starts: Vec<i32> =
            counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect();
        let mut bytes = vec![0_u8; whole];
        self.world
            .all_gather_varcount_into(mine, &mut PartitionMut::new(&mut bytes[..], &counts[..], &starts[..]));
        let part = |(start, count): (&i32, &i32)| bytes[*start as usize..][..*count as usize].to_vec();
        starts.iter().zip(&counts).map(part).collect()
    }

    fn broadcast(&self, root: usize, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(MOST) {
            self.world.process_at_rank(root as i32).broadcast_into(part);
        }
    }

    fn send(&self, to: usize, bytes: &[u8]) {
        self.world.process_at_rank(to as i32).send(bytes);
    }

    fn receive(&self, from: usize, bytes: &mut [u8]) {
        self.world.process_at_rank(from as i32).receive_into(bytes);
    }

    fn poll(&self) -> Option<(usize, Vec<u8>)> {
        let (message, status) = self.world.any_process().immediate_matched_probe()?;
        let from = status.source_rank() as usize;
        Some((from, (message, status).matched_receive_vec().0))
    }
}

impl Drop for Mpi {
    /// Whoever panics ends the others, which would wait for it for ever.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.world.abort(PANICKED);
        }
    }
}

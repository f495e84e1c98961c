//! Numbers in memory of large pages.
//!
//! A product that streams through megabytes of weights needs another entry of the page table every 4 KiB, and prefetching ends with each
//! page. Linux serves what asks for it with pages of 2 MiB (`benches/README.md` has what that gains); elsewhere, and for less than
//! one such page, this is a vector like any other.

use std::ops::Deref;

use memmap2::MmapMut;

use crate::numerics::scalar::Scalar;

/// Bytes of a large page.
const LARGE: usize = 2 << 20;

/// Numbers that are made once and written over.
#[derive(Debug)]
pub struct Pages<T> {
    memory: Memory<T>,
    length: usize,
}

#[derive(Debug)]
enum Memory<T> {
    Plain(Vec<T>),
    /// The numbers begin at a byte of the mapping that begins a large page.
    Large(MmapMut, usize),
}

impl<T: Scalar> Pages<T> {
    /// Room for that many numbers. What they are is what was left there, or zero.
    pub fn sized(&mut self, length: usize) -> &mut [T] {
        if self.room() < length {
            self.memory = Memory::new(length);
        }
        self.length = length;
        self.all_mut()
    }

    /// How many numbers there is memory for.
    fn room(&self) -> usize {
        match &self.memory {
            Memory::Plain(numbers) => numbers.len(),
            Memory::Large(map, start) => (map.len() - start) / size_of::<T>(),
        }
    }

    /// All of them, to be changed.
    pub fn all_mut(&mut self) -> &mut [T] {
        match &mut self.memory {
            Memory::Plain(numbers) => &mut numbers[..self.length],
            Memory::Large(map, start) => {
                bytemuck::cast_slice_mut(&mut map[*start..][..self.length * size_of::<T>()])
            }
        }
    }
}

impl<T: Scalar> Memory<T> {
    fn new(length: usize) -> Self {
        let bytes = length * size_of::<T>();
        Self::large(bytes).unwrap_or_else(|| Self::Plain(vec![T::zero(); length]))
    }

    /// None where too few are asked for, or the system has no large pages, or no memory: a vector tells of that.
    fn large(bytes: usize) -> Option<Self> {
        if bytes < LARGE || cfg!(not(target_os = "linux")) {
            return None;
        }
        let map = MmapMut::map_anon(bytes + LARGE).ok()?;
        #[cfg(target_os = "linux")]
        map.advise(memmap2::Advice::HugePage).ok()?;
        let start = map.as_ptr().align_offset(LARGE);
        Some(Self::Large(map, start))
    }
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { memory: Memory::Plain(Vec::new()), length: 0 }
    }
}

impl<T: Scalar> Clone for Pages<T> {
    fn clone(&self) -> Self {
        let mut own = Self::default();
        own.sized(self.length).copy_from_slice(self);
        own
    }
}

impl<T: Scalar> Deref for Pages<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.memory {
            Memory::Plain(numbers) => &numbers[..self.length],
            Memory::Large(map, start) => bytemuck::cast_slice(&map[*start..][..self.length * size_of::<T>()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_and_copied_in_either_memory() {
        for length in [3, LARGE / size_of::<f32>() + 5] {
            let mut pages = Pages::<f32>::default();
            assert!(pages.is_empty());
            assert!(pages.sized(length).iter().all(|x| *x == 0.0));
            pages.all_mut().iter_mut().enumerate().for_each(|(i, x)| *x = i as f32);
            let copy = pages.clone();
            // Room that is there is used again, with what is in it.
            assert_eq!(pages.sized(2), [0.0, 1.0]);
            assert_eq!(pages.sized(length)[length - 1], (length - 1) as f32);
            pages.all_mut().fill(-1.0);
            assert_eq!((copy.len(), copy[2], copy[length - 1]), (length, 2.0, (length - 1) as f32));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn many_numbers_begin_with_a_large_page() {
        let mut pages = Pages::<f64>::default();
        pages.sized(LARGE);
        assert!(matches!(pages.memory, Memory::Large(..)));
        assert_eq!(pages.as_ptr().align_offset(LARGE), 0);
        pages.sized(1);
        let few = pages.clone();
        assert!(matches!(few.memory, Memory::Plain(_)));
    }
}

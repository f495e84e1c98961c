//! Loops over slices in the widest vectors that the processor has, chosen at run time.

use pulp::{Arch, NullaryFnOnce};

use super::Elementary;

/// A calculation, for [`pulp`] to compile once for every instruction set.
struct Calculation<F>(F);

impl<R, F: FnOnce() -> R> NullaryFnOnce for Calculation<F> {
    type Output = R;

    #[inline(always)]
    fn call(self) -> R {
        self.0()
    }
}

/// The name of the instruction set that loops and products run in on this processor. Sums of products are taken in another order
/// in each, so that their last bits may differ.
#[must_use]
pub fn instruction_set() -> String {
    let name = format!("{:?}", Arch::new());
    match name.split('(').next().unwrap_or_default() {
        "V4" => "AVX-512".into(),
        "V3" => "AVX2".into(),
        "Scalar" => "baseline".into(),
        other => other.to_owned(),
    }
}

/// Runs `f`; loops in it, and in what is marked `#[inline(always)]`, are compiled for the widest vectors there are.
#[inline(always)]
pub(crate) fn widest<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(Calculation(f))
}

/// Runs `f` on every item; what is marked `#[inline(always)]` in it is vectorised.
#[inline(always)]
pub(crate) fn for_each<I: Iterator>(items: I, f: impl Fn(I::Item)) {
    widest(
        // A loop, because `Iterator::for_each` is not always inlined, and then knows nothing of the vectors.
        #[inline(always)]
        || {
            for item in items {
                f(item);
            }
        },
    );
}

/// `(out_re, out_im) = f(re, im)` element by element.
///
/// # Panics
/// If the four lengths differ.
#[inline(always)]
pub(crate) fn map<T: Elementary>(
    re: &[T],
    im: &[T],
    out_re: &mut [T],
    out_im: &mut [T],
    f: impl Fn(T, T) -> (T, T),
) {
    assert_eq!([im.len(), out_re.len(), out_im.len()], [re.len(); 3], "planar slices of one length");
    for_each(
        re.iter().zip(im).zip(out_re).zip(out_im),
        #[inline(always)]
        move |(((&x, &y), u), v)| (*u, *v) = f(x, y),
    );
}

/// `out = f(x)` element by element.
///
/// # Panics
/// If the two lengths differ.
#[inline(always)]
pub(crate) fn map_real<T: Elementary>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) {
    assert_eq!(x.len(), out.len(), "slices of one length");
    for_each(
        x.iter().zip(out),
        #[inline(always)]
        move |(&x, u)| *u = f(x),
    );
}

/// `(re, im) = f(re, im)` element by element.
///
/// # Panics
/// If the two lengths differ.
#[inline(always)]
pub(crate) fn map_in_place<T: Elementary>(re: &mut [T], im: &mut [T], f: impl Fn(T, T) -> (T, T)) {
    assert_eq!(re.len(), im.len(), "planar slices of one length");
    for_each(
        re.iter_mut().zip(im),
        #[inline(always)]
        move |(x, y)| (*x, *y) = f(*x, *y),
    );
}

/// `x = f(x)` element by element.
#[inline(always)]
pub(crate) fn map_real_in_place<T: Elementary>(x: &mut [T], f: impl Fn(T) -> T) {
    for_each(
        x.iter_mut(),
        #[inline(always)]
        move |x| *x = f(*x),
    );
}

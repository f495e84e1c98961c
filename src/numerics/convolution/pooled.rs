//! A(a) = P(K∗a): a convolution with a pooling inside the connection.

use std::ops::Range;

use super::geometry::{Misfit, Shape};
use super::patches::sized;
use super::{Buffers, Convolution};
use crate::numerics::pooling::{Lanes, Pass, Pool, Pooling};
use crate::numerics::rails::{Rails, RailsMut};
use crate::numerics::scalar::Scalar;

/// Bytes of z at a time where nobody keeps it.
const CACHE: usize = 2 * 1024 * 1024;

/// v, its derivative, and where the current to the layer below goes.
type Below<'a, T> = (Option<Rails<'a, T>>, Option<Rails<'a, T>>, RailsMut<'a, T>);

/// A convolution with a pooling after it, as an interaction of two layers with the energy ⟨P(K∗a), v⟩.
///
/// Its *currents* are what the layers receive: the upper A(a) = P(K∗a), the lower (∂A/∂a)ᵀ v = K ⋆ᵀ [(∂P/∂z)ᵀ v] with z = K∗a.
/// All depend on a; z may be computed once for all that is asked at the same a. Slices hold the same samples everywhere.
#[derive(Debug, Clone)]
pub struct PooledConvolution<T: Scalar> {
    convolution: Convolution<T>,
    pool: Pool,
}

/// A state, and a direction in which derivatives are taken there.
///
/// A real state may have a complex direction, because its derivatives are real.
#[derive(Debug, Clone, Copy)]
pub struct At<'a, T> {
    /// z = K∗a.
    pub z: Rails<'a, T>,
    /// The direction of z: K∗δ for the direction δ of a.
    pub dz: Rails<'a, T>,
    /// Activities of the upper layer, if it has any part.
    pub v: Option<Rails<'a, T>>,
    /// Their direction, if it is not zero.
    pub dv: Option<Rails<'a, T>>,
}

/// Buffers of a connection, made at first use; one serves any number of connections in turn.
#[derive(Debug, Clone, Default)]
pub struct Scratch<T> {
    buffers: Buffers<T>,
    lanes: Lanes<T>,
    z: Vec<T>,
    w: Vec<T>,
}

impl<T: Scalar> PooledConvolution<T> {
    /// A convolution followed by a pooling.
    ///
    /// # Errors
    /// If the pooling's windows have no extent, or do not fit.
    pub fn new(convolution: Convolution<T>, pooling: Pooling) -> Result<Self, Misfit> {
        let pool = Pool::new(pooling, convolution.geometry().output)?;
        Ok(Self { convolution, pool })
    }

    /// The convolution.
    #[must_use]
    pub const fn convolution(&self) -> &Convolution<T> {
        &self.convolution
    }

    /// The pooling.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Lays out a kernel [out × patch].
    ///
    /// # Panics
    /// If it has another size.
    pub fn set_kernel(&mut self, weights: &[T]) {
        self.convolution.set_kernel(weights);
    }

    /// The shape of a, the lower layer.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.convolution.geometry().input
    }

    /// The shape of z = K∗a.
    #[must_use]
    pub const fn intermediate(&self) -> Shape {
        self.pool.input()
    }

    /// The shape of A(a), the upper layer.
    #[must_use]
    pub const fn output(&self) -> Shape {
        self.pool.output()
    }

    /// z = K∗a, of which the methods `…_at` make the rest. Linear, so it also takes directions.
    ///
    /// # Panics
    /// If the slices do not belong to the same samples; so do all methods below.
    pub fn convolve(&self, a: Rails<'_, T>, z: RailsMut<'_, T>, scratch: &mut Scratch<T>) {
        for (a, z) in a.each().zip(z.each()) {
            self.convolution.convolve(a, z, &mut scratch.buffers);
        }
    }

    /// up += A(a), and down += (∂A/∂a)ᵀ v, without keeping z; either may be left out.
    pub fn currents(
        &self,
        a: Rails<'_, T>,
        mut up: Option<RailsMut<'_, T>>,
        mut down: Option<(Rails<'_, T>, RailsMut<'_, T>)>,
        scratch: &mut Scratch<T>,
    ) {
        let (below, between, above) = self.sizes();
        for block in self.blocks(a.re.len() / below) {
            let mut kept = std::mem::take(&mut scratch.z);
            let z = sized(&mut kept, block.len() * between * a.count());
            self.convolve(a.samples(&block, below), RailsMut::of(z, a.count()), scratch);
            let up = up.as_mut().map(|up| up.samples(&block, above));
            let down = down.as_mut().map(|(v, down)| (v.samples(&block, above), down.samples(&block, below)));
            self.block(
                Rails::of(z, a.count()),
                None,
                up,
                down.map(|(v, down)| (Some(v), None, down)),
                scratch,
            );
            scratch.z = kept;
        }
    }

    /// [`PooledConvolution::currents()`] at a state of known z.
    pub fn currents_at(
        &self,
        z: Rails<'_, T>,
        mut up: Option<RailsMut<'_, T>>,
        mut down: Option<(Rails<'_, T>, RailsMut<'_, T>)>,
        scratch: &mut Scratch<T>,
    ) {
        let (below, between, above) = self.sizes();
        for block in self.blocks(z.re.len() / between) {
            let up = up.as_mut().map(|up| up.samples(&block, above));
            let down = down.as_mut().map(|(v, down)| (v.samples(&block, above), down.samples(&block, below)));
            let z = z.samples(&block, between);
            self.block(z, None, up, down.map(|(v, down)| (Some(v), None, down)), scratch);
        }
    }

    /// The derivatives of [`PooledConvolution::currents_at()`] along the direction: up += (∂A/∂a) δ, and
    /// down += (∂²A/∂a² δ)ᵀ v + (∂A/∂a)ᵀ dv; either may be left out.
    pub fn derivatives_at(
        &self,
        at: &At<'_, T>,
        mut up: Option<RailsMut<'_, T>>,
        mut down: Option<RailsMut<'_, T>>,
        scratch: &mut Scratch<T>,
    ) {
        let (below, between, above) = self.sizes();
        for block in self.blocks(at.z.re.len() / between) {
            let up = up.as_mut().map(|up| up.samples(&block, above));
            let (v, dv) = (at.v.map(|v| v.samples(&block, above)), at.dv.map(|dv| dv.samples(&block, above)));
            let down = down.as_mut().map(|down| (v, dv, down.samples(&block, below)));
            let dz = Some(at.dz.samples(&block, between));
            self.block(at.z.samples(&block, between), dz, up, down, scratch);
        }
    }

    /// gradient += Re Σ ∂⟨A(a), v⟩/∂K over the samples, at a state of known z. Linear in v, which a factor therefore may multiply.
    pub fn gradient_at(
        &self,
        a: Rails<'_, T>,
        z: Rails<'_, T>,
        v: Rails<'_, T>,
        gradient: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let (below, between, above) = self.sizes();
        for block in self.blocks(z.re.len() / between) {
            let v = Some(v.samples(&block, above));
            let mut kept = std::mem::take(&mut scratch.w);
            let w = RailsMut::of(sized(&mut kept, block.len() * between * z.count()), z.count());
            let z = z.samples(&block, between);
            self.slope(Pass { z, dz: None, v, dv: None, up: None, down: Some(w) }, scratch);
            let w = RailsMut::of(&mut kept[..block.len() * between * z.count()], z.count());
            self.contract(a.samples(&block, below), w, gradient, scratch);
            scratch.w = kept;
        }
    }

    /// The derivative of [`PooledConvolution::gradient_at()`] along the direction `da` of a and that of `at`, which must be given
    /// v. Of the directions of a real state only the real parts count.
    pub fn gradient_derivative_at(
        &self,
        a: Rails<'_, T>,
        da: Rails<'_, T>,
        at: &At<'_, T>,
        gradient: &mut [T],
        scratch: &mut Scratch<T>,
    ) {
        let (below, between, above) = self.sizes();
        let rails = at.z.count();
        let v = at.v.expect("a gradient of activities");
        self.gradient_at(fitting_rails(da, rails), at.z, v, gradient, scratch);
        for block in self.blocks(at.z.re.len() / between) {
            let mut kept = std::mem::take(&mut scratch.w);
            let w = RailsMut::of(sized(&mut kept, block.len() * between * rails), rails);
            let pass = Pass {
                z: at.z.samples(&block, between),
                dz: Some(fitting_rails(at.dz, rails).samples(&block, between)),
                v: Some(v.samples(&block, above)),
                dv: at.dv.map(|dv| fitting_rails(dv, rails).samples(&block, above)),
                up: None,
                down: Some(w),
            };
            self.slope(pass, scratch);
            let w = RailsMut::of(&mut kept[..block.len() * between * rails], rails);
            self.contract(a.samples(&block, below), w, gradient, scratch);
            scratch.w = kept;
        }
    }

    /// powers += what independent disturbances of every weight's current, of the power |a|², do to the upper layer's units:
    /// Σ_j |∂P/∂z_j|² Σ |a|² over the patch of position j.
    pub fn powers_at(&self, a: Rails<'_, T>, z: Rails<'_, T>, powers: &mut [T], scratch: &mut Scratch<T>) {
        let samples = z.re.len() / self.intermediate().size();
        let squares = sized(&mut scratch.w, samples * self.intermediate().positions());
        squares.fill(T::zero());
        for a in a.each() {
            self.convolution.squares_add(a, squares);
        }
        self.pool.powers_add(z, squares, powers, &mut scratch.lanes);
    }

    fn sizes(&self) -> (usize, usize, usize) {
        (self.input().size(), self.intermediate().size(), self.output().size())
    }

    /// Ranges of samples that are worked on together, so that what passes between convolution and pooling stays in the cache.
    fn blocks(&self, samples: usize) -> impl Iterator<Item = Range<usize>> + use<T> {
        let length = (CACHE / (self.intermediate().size() * size_of::<T>())).max(1);
        (0..samples).step_by(length).map(move |start| start..samples.min(start + length))
    }

    /// The currents of a block, or with `dz` their derivatives.
    fn block(
        &self,
        z: Rails<'_, T>,
        dz: Option<Rails<'_, T>>,
        up: Option<RailsMut<'_, T>>,
        down: Option<Below<'_, T>>,
        scratch: &mut Scratch<T>,
    ) {
        let Some((v, dv, down)) = down else {
            return self.slope(Pass { z, dz, v: None, dv: None, up, down: None }, scratch);
        };
        let rails = dz.map_or(z.count(), |dz| dz.count());
        let mut kept = std::mem::take(&mut scratch.w);
        let w = sized(&mut kept, z.re.len() * rails);
        self.slope(Pass { z, dz, v, dv, up, down: Some(RailsMut::of(w, rails)) }, scratch);
        for (w, down) in Rails::of(w, rails).each().zip(down.each()) {
            self.convolution.transpose_add(w, down, &mut scratch.buffers);
        }
        scratch.w = kept;
    }

    fn slope(&self, pass: Pass<'_, T>, scratch: &mut Scratch<T>) {
        self.pool.run(pass, &mut scratch.lanes);
    }

    /// gradient += Re Σ patch · w.
    fn contract(&self, a: Rails<'_, T>, w: RailsMut<'_, T>, gradient: &mut [T], scratch: &mut Scratch<T>) {
        w.im.iter_mut().for_each(|w| *w = -*w);
        for (a, w) in a.each().zip(w.each()) {
            self.convolution.gradient_add(a, w, gradient, &mut scratch.buffers);
        }
    }
}

/// The real parts only where there is one rail.
fn fitting_rails<T>(direction: Rails<'_, T>, rails: usize) -> Rails<'_, T> {
    if rails == 1 { Rails::real(direction.re) } else { direction }
}

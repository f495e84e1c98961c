//! Pooling over windows of positions, channel by channel, with its first and second derivatives.
//!
//! A pooling y = P(z) acts inside a connection: the unit above receives y, and for its own activity v the positions below
//! receive the *slope current* w = (∂P/∂z)ᵀ v. Softmax pooling with temperature T weighs a window by
//! p = softmax(z/T), without conjugation where z is complex:
//!
//! ```text
//! y = Σ p_j z_j        g_j = ∂y/∂z_j = p_j [1 + (z_j − y)/T]
//! ∂²y/∂z_i∂z_j = (p_j/T) { δ_ij [2 + (z_j − y)/T] − p_i [2 + (z_i + z_j − 2y)/T] }
//! ```
//!
//! It is singular where Σ exp(z_j/T) = 0. Windows may overlap; rows and columns that fill no window are dropped. A bias per
//! channel commutes with every pooling here, so it is left to the layer above.

mod lanes;

pub(crate) use lanes::Lanes;
use lanes::{Number, Rule, WIDTH, store_add};
use num_complex::Complex;

use super::convolution::geometry::{Misfit, Shape, windows};
use super::rails::{Rails, RailsMut};
use crate::numerics::kernels::widest;
use crate::numerics::scalar::Scalar;

/// Square windows of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub size: usize,
    /// Distance of neighbours, in both directions.
    pub stride: usize,
}

/// What becomes of the positions of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pooling {
    /// Every position stays.
    None,
    /// Their mean.
    Average(Window),
    /// The greatest, the first of equals; of real states only.
    Max(Window),
    /// Their mean weighted by softmax(z / temperature).
    Softmax {
        /// The windows.
        window: Window,
        /// In units of z.
        temperature: f64,
    },
}

/// A pooling of images of one shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pool {
    pooling: Pooling,
    window: Window,
    input: Shape,
    output: Shape,
}

/// What a pass over a batch reads and writes; the slices belong to the same samples.
pub(crate) struct Pass<'a, T> {
    /// What is pooled.
    pub z: Rails<'a, T>,
    /// A direction of z: with it, the pass makes derivatives along it.
    pub dz: Option<Rails<'a, T>>,
    /// Activities above.
    pub v: Option<Rails<'a, T>>,
    /// Their direction.
    pub dv: Option<Rails<'a, T>>,
    /// Receives P(z), or its derivative, in addition to what it holds.
    pub up: Option<RailsMut<'a, T>>,
    /// Becomes the slope current of v, or its derivative.
    pub down: Option<RailsMut<'a, T>>,
}

impl Pool {
    /// The pooling of images of that shape.
    ///
    /// # Errors
    /// If a window has no extent, or does not fit.
    pub fn new(pooling: Pooling, input: Shape) -> Result<Self, Misfit> {
        let window = match pooling {
            Pooling::None => Window { size: 1, stride: 1 },
            Pooling::Average(window) | Pooling::Max(window) | Pooling::Softmax { window, .. } => window,
        };
        let extents = [("the pooling's size", window.size), ("the pooling's stride", window.stride)];
        if let Some((what, _)) = extents.into_iter().find(|(_, extent)| *extent == 0) {
            return Err(Misfit::Zero(what));
        }
        let extent = [input.height, input.width];
        let [height, width] = windows("pooling window", extent, [window.size; 2], window.stride)?;
        Ok(Self { pooling, window, input, output: Shape::new(height, width, input.channels) })
    }

    /// What is done with a window.
    #[must_use]
    pub const fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// What is pooled.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// The result.
    #[must_use]
    pub const fn output(&self) -> Shape {
        self.output
    }

    /// Whether it is holomorphic, so that states may be complex.
    #[must_use]
    pub const fn is_holomorphic(&self) -> bool {
        !matches!(self.pooling, Pooling::Max(_))
    }

    /// Does a pass. A real z may have complex directions, and an absent direction of v is none.
    ///
    /// # Panics
    /// If the slices do not belong to the same samples, or a max pooling meets complex states.
    pub(crate) fn run<T: Scalar>(&self, mut pass: Pass<'_, T>, lanes: &mut Lanes<T>) {
        if self.pooling == Pooling::None {
            return pass_on(pass);
        }
        if let Some(down) = &mut pass.down {
            down.re.fill(T::zero());
            down.im.fill(T::zero());
        }
        lanes.reserve(self.window.size * self.window.size);
        match pass.dz {
            _ if pass.z.count() == 2 => {
                assert!(self.is_holomorphic(), "a max pooling of real states");
                widest(
                    #[inline(always)]
                    || self.each_window::<T, Complex<T>>(&mut pass, lanes),
                );
            }
            Some(dz) if dz.count() == 2 => {
                // The derivative is real: each rail of the direction goes its own way.
                for rail in 0..2 {
                    let mut pass = Pass {
                        dz: Some(dz.rail(rail)),
                        dv: pass.dv.map(|dv| dv.rail(rail)),
                        up: pass.up.as_mut().map(|up| up.rail(rail)),
                        down: pass.down.as_mut().map(|down| down.rail(rail)),
                        ..pass
                    };
                    widest(
                        #[inline(always)]
                        || self.each_window::<T, T>(&mut pass, lanes),
                    );
                }
            }
            _ => widest(
                #[inline(always)]
                || self.each_window::<T, T>(&mut pass, lanes),
            ),
        }
    }

    /// powers += the sum over a window of |∂y/∂z_j|² · `position_powers`_j: what independent disturbances of the positions, of
    /// those powers \[positions × samples\], do to the result.
    ///
    /// # Panics
    /// As [`Pool::run()`].
    pub(crate) fn powers_add<T: Scalar>(
        &self,
        z: Rails<'_, T>,
        position_powers: &[T],
        powers: &mut [T],
        lanes: &mut Lanes<T>,
    ) {
        let channels = self.input.channels;
        if self.pooling == Pooling::None {
            for (powers, power) in powers.chunks_exact_mut(channels).zip(position_powers) {
                powers.iter_mut().for_each(|p| *p += *power);
            }
            return;
        }
        lanes.reserve(self.window.size * self.window.size);
        if z.count() == 1 {
            self.each_power::<T, T>(z, position_powers, powers, lanes);
        } else {
            self.each_power::<T, Complex<T>>(z, position_powers, powers, lanes);
        }
    }

    fn rule<T: Scalar>(&self) -> Rule<T> {
        match self.pooling {
            Pooling::None | Pooling::Average(_) => Rule::Average,
            Pooling::Max(_) => Rule::Max,
            Pooling::Softmax { temperature, .. } => Rule::Softmax(T::of(temperature)),
        }
    }

    /// The positions of an output position's window.
    #[inline(always)]
    fn members(&self, output: usize) -> impl Iterator<Item = usize> + use<> {
        let Window { size, stride } = self.window;
        let corner = (output / self.output.width * self.input.width + output % self.output.width) * stride;
        let width = self.input.width;
        (0..size).flat_map(move |row| (0..size).map(move |column| corner + row * width + column))
    }

    #[inline(always)]
    fn each_window<T: Scalar, N: Number<T>>(&self, pass: &mut Pass<'_, T>, lanes: &mut Lanes<T>) {
        let rule = self.rule();
        let (channels, size, pooled) = (self.input.channels, self.input.size(), self.output.size());
        let samples = pass.z.re.len() / size;
        for sample in 0..samples {
            for output in 0..self.output.positions() {
                for channel in (0..channels).step_by(WIDTH) {
                    let count = WIDTH.min(channels - channel);
                    let place = |position: usize| sample * size + position * channels + channel;
                    let above = sample * pooled + output * channels + channel;
                    for (j, position) in self.members(output).enumerate() {
                        lanes.z[j] = N::load(&pass.z, place(position), count);
                        if let Some(dz) = &pass.dz {
                            lanes.d[j] = N::load(dz, place(position), count);
                        }
                    }
                    if let Some(v) = &pass.v {
                        lanes.v = N::load(v, above, count);
                    }
                    if pass.dz.is_some() {
                        lanes.dv = pass.dv.map_or_else(Default::default, |dv| N::load(&dv, above, count));
                        lanes.derivatives::<N>(&rule, pass.down.is_some());
                    } else {
                        lanes.currents::<N>(&rule, pass.down.is_some());
                    }
                    if let Some(up) = &mut pass.up {
                        N::store_add(&lanes.y, up, above, count);
                    }
                    if let Some(down) = &mut pass.down {
                        for (j, position) in self.members(output).enumerate() {
                            N::store_add(&lanes.w[j], down, place(position), count);
                        }
                    }
                }
            }
        }
    }

    fn each_power<T: Scalar, N: Number<T>>(
        &self,
        z: Rails<'_, T>,
        position_powers: &[T],
        powers: &mut [T],
        lanes: &mut Lanes<T>,
    ) {
        let rule = self.rule();
        let (channels, size, pooled) = (self.input.channels, self.input.size(), self.output.size());
        for sample in 0..z.re.len() / size {
            for output in 0..self.output.positions() {
                for channel in (0..channels).step_by(WIDTH) {
                    let count = WIDTH.min(channels - channel);
                    for (j, position) in self.members(output).enumerate() {
                        lanes.z[j] = N::load(&z, sample * size + position * channels + channel, count);
                        lanes.d[j][0] = [position_powers[sample * self.input.positions() + position]; WIDTH];
                    }
                    lanes.powers::<N>(&rule);
                    store_add(&lanes.y[0], powers, sample * pooled + output * channels + channel, count);
                }
            }
        }
    }
}

/// The pass of no pooling.
fn pass_on<T: Scalar>(pass: Pass<'_, T>) {
    let (z, v) = if pass.dz.is_some() { (pass.dz, pass.dv) } else { (Some(pass.z), pass.v) };
    if let (Some(up), Some(z)) = (pass.up, z) {
        for (up, z) in up.each().zip(z.each()) {
            up.iter_mut().zip(z).for_each(|(u, z)| *u += *z);
        }
    }
    if let Some(down) = pass.down {
        match v {
            Some(v) => down.each().zip(v.each()).for_each(|(down, v)| down.copy_from_slice(v)),
            None => down.each().for_each(|down| down.fill(T::zero())),
        }
    }
}

#[cfg(test)]
mod tests;

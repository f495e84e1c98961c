//! Parameters and gradients: one matrix for each name of the parameter file.

use std::sync::Arc;

use nalgebra::DMatrix;
use rand_distr::{Distribution, Normal, Uniform};

use super::model::Initialisation;
use crate::error::Result;
use crate::files::Tensors;
use crate::rng::{self, Purpose};
use crate::scalar::Scalar;

/// Name and shape of one parameter, and how its initial values are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterShape {
    /// Name in parameter files, as `h1-h2.weight`.
    pub name: String,
    /// Receiving neurons.
    pub rows: usize,
    /// Sending neurons; 1 for a bias.
    pub columns: usize,
    /// How the initial values are drawn.
    pub start: Start,
}

/// How the initial values of a parameter are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// All zero.
    Zero,
    /// Independent draws.
    Drawn(Initialisation),
    /// cos α Wᵀ + sin α W_random, with W the parameter of that index (paper 2, section 4).
    Rotated {
        /// Index of the forward parameter.
        forward: usize,
        /// Angle α, in radians.
        angle: f64,
        /// Distribution of W_random, that of the forward parameter.
        initialisation: Initialisation,
    },
}

/// Values keyed by parameter name: nominal parameters, a gradient, an optimiser's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters<T: Scalar> {
    shapes: Arc<[ParameterShape]>,
    values: Vec<DMatrix<T>>,
}

impl<T: Scalar> Parameters<T> {
    /// All zero.
    #[must_use]
    pub fn zeros(shapes: &Arc<[ParameterShape]>) -> Self {
        let values = shapes.iter().map(|s| DMatrix::from_element(s.rows, s.columns, T::zero())).collect();
        Self { shapes: Arc::clone(shapes), values }
    }

    /// Initial values from the seed: the same for both precisions up to rounding.
    #[must_use]
    pub fn initial(shapes: &Arc<[ParameterShape]>, seed: u64) -> Self {
        let mut drawn: Vec<DMatrix<f64>> = Vec::with_capacity(shapes.len());
        for (index, shape) in shapes.iter().enumerate() {
            let (rows, columns) = (shape.rows, shape.columns);
            let matrix = match shape.start {
                Start::Zero => DMatrix::zeros(rows, columns),
                Start::Drawn(initialisation) => draw(initialisation, columns, rows, columns, seed, index),
                Start::Rotated { forward, angle, initialisation } => {
                    // "Same scale": the fan-in is the forward connection's, so both terms have equal variance.
                    let random = draw(initialisation, rows, rows, columns, seed, index);
                    drawn[forward].transpose() * angle.cos() + random * angle.sin()
                }
            };
            drawn.push(matrix);
        }
        Self { shapes: Arc::clone(shapes), values: drawn.into_iter().map(|m| m.map(T::of)).collect() }
    }

    /// Reads every parameter of a network from a file's arrays, and refuses what is left over.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for a missing or unknown name, a wrong shape, or an entry that is not finite.
    pub fn from_tensors(shapes: &Arc<[ParameterShape]>, tensors: &mut Tensors) -> Result<Self> {
        let read = Self::read(shapes, tensors, "")?;
        tensors.refuse_unused()?;
        Ok(read)
    }

    /// Reads every parameter under `prefix` and its name.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for a missing name, a wrong shape, or an entry that is not finite.
    pub fn read(shapes: &Arc<[ParameterShape]>, tensors: &mut Tensors, prefix: &str) -> Result<Self> {
        let mut read = Self::zeros(shapes);
        for (shape, value) in shapes.iter().zip(&mut read.values) {
            let name = format!("{prefix}{}", shape.name);
            // A bias is a vector in files.
            *value = if name.ends_with(".bias") {
                DMatrix::from_column_slice(shape.rows, 1, tensors.vector::<T>(&name, shape.rows)?.as_slice())
            } else {
                tensors.matrix(&name, [shape.rows, shape.columns])?
            };
        }
        Ok(read)
    }

    /// Adds every parameter to a file's arrays, under `prefix` and its name.
    pub fn insert_into(&self, tensors: &mut Tensors, prefix: &str) {
        for (name, value) in self.iter() {
            if name.ends_with(".bias") {
                tensors.insert_reals(format!("{prefix}{name}"), &[value.nrows()], value.as_slice());
            } else {
                tensors.insert_matrix(format!("{prefix}{name}"), value);
            }
        }
    }

    /// Names and shapes, in order.
    #[must_use]
    pub fn shapes(&self) -> &Arc<[ParameterShape]> {
        &self.shapes
    }

    /// Number of parameters (matrices, not elements).
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no parameter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The matrix at an index, rows receiving.
    #[must_use]
    pub fn at(&self, index: usize) -> &DMatrix<T> {
        &self.values[index]
    }

    /// The matrix at an index, to write to.
    pub fn at_mut(&mut self, index: usize) -> &mut DMatrix<T> {
        &mut self.values[index]
    }

    /// The matrix of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&DMatrix<T>> {
        self.shapes.iter().position(|s| s.name == name).map(|i| &self.values[i])
    }

    /// Names and matrices, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &DMatrix<T>)> {
        self.shapes.iter().map(|s| s.name.as_str()).zip(&self.values)
    }

    /// self + factor · other.
    pub fn add_scaled(&mut self, factor: T, other: &Self) {
        for (mine, theirs) in self.values.iter_mut().zip(&other.values) {
            for (a, b) in mine.as_mut_slice().iter_mut().zip(theirs.as_slice()) {
                *a += factor * *b;
            }
        }
    }

    /// factor · self.
    pub fn scale(&mut self, factor: T) {
        for a in self.values.iter_mut().flat_map(|m| m.as_mut_slice()) {
            *a *= factor;
        }
    }

    /// Whether no element is infinite or not a number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.values.iter().flat_map(|m| m.as_slice()).all(|x| x.is_finite())
    }

    /// The same values in double precision.
    #[must_use]
    pub fn to_double(&self) -> Parameters<f64> {
        Parameters {
            shapes: Arc::clone(&self.shapes),
            values: self.values.iter().map(|m| m.map(Scalar::double)).collect(),
        }
    }
}

fn draw(
    initialisation: Initialisation,
    fan_in: usize,
    rows: usize,
    columns: usize,
    seed: u64,
    index: usize,
) -> DMatrix<f64> {
    let mut stream = rng::stream(seed, Purpose::Initialisation, index as u64);
    let unit = 1.0 / (fan_in as f64).sqrt();
    match initialisation {
        Initialisation::TruncatedNormal { scale } => {
            let normal = Normal::new(0.0, 1.0).expect("a unit normal is legal");
            let mut within = || loop {
                let x: f64 = normal.sample(&mut stream);
                if x.abs() <= 2.0 {
                    return x * scale * unit;
                }
            };
            DMatrix::from_fn(rows, columns, |_, _| within())
        }
        Initialisation::Normal { scale } => {
            let normal = Normal::new(0.0, scale * unit).expect("a validated scale is finite");
            DMatrix::from_fn(rows, columns, |_, _| normal.sample(&mut stream))
        }
        Initialisation::Uniform { scale } => {
            let uniform =
                Uniform::new_inclusive(-scale * unit, scale * unit).expect("a validated scale is finite");
            DMatrix::from_fn(rows, columns, |_, _| uniform.sample(&mut stream))
        }
    }
}

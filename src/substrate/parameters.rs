//! Parameters and gradients: the values of every name of the parameter file.

use std::sync::Arc;

use nalgebra::DMatrix;
use rand_distr::{Distribution, Normal, Uniform};

use crate::error::Result;
use crate::files::Tensors;
use crate::numerics::rng::{self, Purpose};
use crate::numerics::scalar::Scalar;
use crate::substrate::neurons::interactions::Interaction;
use crate::substrate::neurons::model::Initialisation;

/// Name of one parameter, what it is and how its initial values are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterShape {
    /// Name in parameter files, as `h1-h2.weight`.
    pub name: String,
    /// What it is to the network.
    pub role: Role,
    /// How its values are arranged.
    pub form: Arrangement,
    /// How the initial values are drawn.
    pub start: Start,
}

/// What a parameter is to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The weights of a connection.
    Synapses,
    /// The biases of a layer or of the read-out.
    Bias,
    /// The weights of the read-out.
    ReadOut,
}

impl Role {
    /// Whether the values are weights, each a device of its own.
    #[must_use]
    pub fn is_weight(self) -> bool {
        self != Self::Bias
    }
}

/// How the values of a parameter are arranged.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrangement {
    /// The weights of an interaction, in its order.
    Weights(Arc<Interaction>),
    /// So many numbers.
    Vector(usize),
}

impl Arrangement {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Weights(interaction) => interaction.weights(),
            Self::Vector(length) => *length,
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Times that each value is programmed, into devices of its own.
    #[must_use]
    pub fn copies(&self) -> usize {
        match self {
            Self::Weights(interaction) => interaction.copies(),
            Self::Vector(_) => 1,
        }
    }

    /// Number of devices that hold the values.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.copies() * self.len()
    }

    /// Dimensions in parameter files.
    #[must_use]
    pub fn dimensions(&self) -> Vec<usize> {
        match self {
            Self::Weights(interaction) => interaction.dimensions(),
            Self::Vector(length) => vec![*length],
        }
    }

    /// The values as the row-major array of a parameter file.
    fn spread<T: Scalar>(&self, values: &[T]) -> Vec<T> {
        let Self::Weights(interaction) = self else { return values.to_vec() };
        let mut array = vec![T::zero(); interaction.dimensions().iter().product()];
        if let Some((receivers, senders)) = interaction.transposed() {
            transpose(receivers, senders, values, &mut array);
            return array;
        }
        interaction.places().zip(values).for_each(|(place, w)| array[place] = *w);
        array
    }

    /// The values out of such an array, and where in it there is a number without a weight.
    fn gather<T: Scalar>(&self, mut array: Vec<T>) -> std::result::Result<Vec<T>, usize> {
        let Self::Weights(interaction) = self else { return Ok(array) };
        let values =
            interaction.places().map(|place| std::mem::replace(&mut array[place], T::zero())).collect();
        array.iter().position(|x| !x.is_zero()).map_or(Ok(values), Err)
    }
}

/// Writes a matrix [rows × columns], of which column follows after column in `from`, row after row into `to`.
fn transpose<T: Copy>(rows: usize, columns: usize, from: &[T], to: &mut [T]) {
    /// Columns whose parts stay in the cache from one row to the next.
    const TOGETHER: usize = 16;
    for first in (0..columns).step_by(TOGETHER) {
        let last = columns.min(first + TOGETHER);
        for row in 0..rows {
            let parts = to[row * columns + first..row * columns + last].iter_mut();
            parts.zip(first..last).for_each(|(to, column)| *to = from[column * rows + row]);
        }
    }
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
    values: Vec<Vec<T>>,
}

impl<T: Scalar> Parameters<T> {
    /// All zero.
    #[must_use]
    pub fn zeros(shapes: &Arc<[ParameterShape]>) -> Self {
        let values = shapes.iter().map(|s| vec![T::zero(); s.form.len()]).collect();
        Self { shapes: Arc::clone(shapes), values }
    }

    /// Initial values from the seed: the same for both precisions up to rounding.
    #[must_use]
    pub fn initial(shapes: &Arc<[ParameterShape]>, seed: u64) -> Self {
        let mut drawn: Vec<Vec<f64>> = Vec::with_capacity(shapes.len());
        for (index, shape) in shapes.iter().enumerate() {
            let count = shape.form.len();
            let draw = |initialisation, fan_in| draw(initialisation, fan_in, count, seed, index);
            let values = match (shape.start, &shape.form) {
                (Start::Zero, _) | (_, Arrangement::Vector(_)) => vec![0.0; count],
                (Start::Drawn(initialisation), Arrangement::Weights(interaction)) => {
                    draw(initialisation, interaction.fan_in())
                }
                (Start::Rotated { forward, angle, initialisation }, _) => {
                    let Arrangement::Weights(partner) = &shapes[forward].form else {
                        unreachable!("a feedback's partner has weights")
                    };
                    // "Same scale": the fan-in is the forward connection's, so both terms have equal variance.
                    let random = draw(initialisation, partner.fan_in());
                    let turned = partner.as_feedback(&drawn[forward]).into_iter().zip(random);
                    turned.map(|(w, random)| w * angle.cos() + random * angle.sin()).collect()
                }
            };
            drawn.push(values);
        }
        let values = drawn.into_iter().map(|values| values.into_iter().map(T::of).collect()).collect();
        Self { shapes: Arc::clone(shapes), values }
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
    /// [`crate::Error::Input`] for a missing name, a wrong shape, or an entry that is not finite, or not zero where the connection has
    /// no synapse.
    pub fn read(shapes: &Arc<[ParameterShape]>, tensors: &mut Tensors, prefix: &str) -> Result<Self> {
        let mut read = Self::zeros(shapes);
        for (shape, value) in shapes.iter().zip(&mut read.values) {
            let name = format!("{prefix}{}", shape.name);
            let array = tensors.reals::<T>(&name, &shape.form.dimensions())?;
            *value = shape.form.gather(array).map_err(|place| {
                let legal = "entries are zero where the connection has no synapse";
                tensors.refuse_entry(&name, place, legal)
            })?;
        }
        Ok(read)
    }

    /// Adds every parameter to a file's arrays, under `prefix` and its name.
    pub fn insert_into(&self, tensors: &mut Tensors, prefix: &str) {
        for (shape, value) in self.shapes.iter().zip(&self.values) {
            let name = format!("{prefix}{}", shape.name);
            tensors.insert_reals(name, &shape.form.dimensions(), &shape.form.spread(value));
        }
    }

    /// Names and shapes, in order.
    #[must_use]
    pub fn shapes(&self) -> &Arc<[ParameterShape]> {
        &self.shapes
    }

    /// Number of parameters (names, not elements).
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no parameter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values at an index: those of a connection in the order of its interaction.
    #[must_use]
    pub fn at(&self, index: usize) -> &[T] {
        &self.values[index]
    }

    /// The values at an index, to write to.
    pub fn at_mut(&mut self, index: usize) -> &mut [T] {
        &mut self.values[index]
    }

    /// Index of the parameter of that name.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<usize> {
        self.shapes.iter().position(|s| s.name == name)
    }

    /// The values at an index as parameter files hold them: row-major, with zeros where there is no synapse.
    #[must_use]
    pub fn array(&self, index: usize) -> Vec<T> {
        self.shapes[index].form.spread(&self.values[index])
    }

    /// Takes the values at an index out of such an array.
    ///
    /// # Errors
    /// The place of the first number that is not zero where there is no synapse.
    ///
    /// # Panics
    /// If the array is not as long as the parameter's dimensions say.
    pub fn set_array(&mut self, index: usize, array: &[T]) -> std::result::Result<(), usize> {
        let (form, values) = (&self.shapes[index].form, &mut self.values[index]);
        match form {
            Arrangement::Vector(_) => values.copy_from_slice(array),
            Arrangement::Weights(interaction) => {
                if let Some((receivers, senders)) = interaction.transposed() {
                    transpose(senders, receivers, array, values);
                    return Ok(());
                }
                let places = values.iter_mut().zip(interaction.places());
                places.for_each(|(value, place)| *value = array[place]);
                if values.len() < array.len() {
                    form.gather(array.to_vec())?;
                }
            }
        }
        Ok(())
    }

    /// The parameter of that name, as [`Self::matrix`].
    #[must_use]
    pub fn get(&self, name: &str) -> Option<DMatrix<T>> {
        self.index(name).map(|index| self.matrix(index))
    }

    /// Names and matrices, in order; see [`Self::matrix`].
    pub fn matrices(&self) -> impl Iterator<Item = (&str, DMatrix<T>)> {
        self.shapes.iter().zip(0..).map(|(shape, index)| (shape.name.as_str(), self.matrix(index)))
    }

    /// A parameter as parameter files hold it: a matrix [receivers × senders], with zeros where there is no synapse, or a column.
    /// Further dimensions of a file are one with the columns.
    #[must_use]
    pub fn matrix(&self, index: usize) -> DMatrix<T> {
        let form = &self.shapes[index].form;
        let (rows, array) = (form.dimensions()[0], form.spread(&self.values[index]));
        DMatrix::from_row_slice(rows, array.len() / rows.max(1), &array)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[T])> {
        self.shapes.iter().map(|s| s.name.as_str()).zip(self.values.iter().map(Vec::as_slice))
    }

    /// self + factor · other.
    pub fn add_scaled(&mut self, factor: T, other: &Self) {
        for (mine, theirs) in self.values.iter_mut().zip(&other.values) {
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a += factor * *b;
            }
        }
    }

    /// factor · self.
    pub fn scale(&mut self, factor: T) {
        for a in self.values.iter_mut().flatten() {
            *a *= factor;
        }
    }

    /// Root of the sum of all squares.
    #[must_use]
    pub fn norm(&self) -> f64 {
        self.values.iter().flatten().map(|x| x.double().powi(2)).sum::<f64>().sqrt()
    }

    /// Whether no element is infinite or not a number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.values.iter().flatten().all(|x| x.is_finite())
    }

    /// The same values in double precision.
    #[must_use]
    pub fn to_double(&self) -> Parameters<f64> {
        Parameters {
            shapes: Arc::clone(&self.shapes),
            values: self.values.iter().map(|v| v.iter().map(|x| x.double()).collect()).collect(),
        }
    }
}

fn draw(initialisation: Initialisation, fan_in: usize, count: usize, seed: u64, index: usize) -> Vec<f64> {
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
            (0..count).map(|_| within()).collect()
        }
        Initialisation::Normal { scale } => {
            let normal = Normal::new(0.0, scale * unit).expect("a validated scale is finite");
            (0..count).map(|_| normal.sample(&mut stream)).collect()
        }
        Initialisation::Uniform { scale } => {
            let uniform =
                Uniform::new_inclusive(-scale * unit, scale * unit).expect("a validated scale is finite");
            (0..count).map(|_| uniform.sample(&mut stream)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::substrate::neurons::interactions::Geometry;
    use crate::substrate::neurons::interactions::dense::Dense;

    /// What is transposed at once lies where the places say of each weight.
    #[test]
    fn the_array_of_a_dense_parameter_has_each_weight_in_its_place() {
        for (receivers, senders) in [(1, 1), (3, 16), (37, 50), (40, 17)] {
            let shape = Dense { receivers, senders };
            let values: Vec<usize> = (1..=receivers * senders).collect();
            let mut expected = vec![0; values.len()];
            shape.places().zip(&values).for_each(|(place, value)| expected[place] = *value);
            let (mut array, mut back) = (vec![0; values.len()], vec![0; values.len()]);
            transpose(receivers, senders, &values, &mut array);
            assert_eq!(array, expected);
            transpose(senders, receivers, &array, &mut back);
            assert_eq!(back, values);
        }
    }
}

//! Noise: what an experiment may ask for, and white noise on the neurons' state.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::measured::Components;
use crate::error::{Invalid, non_negative, positive};
use crate::numerics::rng::NoiseKey;
use crate::numerics::scalar::Scalar;
use crate::numerics::state::StateShape;
use crate::simulation::integrators::{FixedStep, Integrator, IntegratorSpec, Kicks, Leak, Method, White};
use crate::substrate::neurons::form::Form;

/// A random process. Draws are keyed by seed, update, sample, neuron, rail and step.
///
/// All but `white` hold a value through each step of the integrator. Those with a memory start from their stationary distribution
/// and hold their mean over the step; they go on from phase to phase of an estimate. Times are in nominal τ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(transform = allow_file)]
#[expect(clippy::large_enum_variant, reason = "descriptions are few, and copied everywhere")]
pub enum Noise {
    /// White noise, √(2/τ)·σ dW on a potential.
    White {
        /// σ: the standard deviation that an isolated neuron's potential has in its stationary state, on each noisy rail.
        #[schemars(range(min = 0.0))]
        std: f64,
        /// Which rails carry it.
        #[serde(default)]
        rails: Rails,
    },
    /// Drawn at every step and held through it (paper 1's, with the discrete map).
    Held {
        /// Standard deviation of a draw.
        #[schemars(range(min = 0.0))]
        std: f64,
        /// Whether all samples of a batch see the same draw, as in the papers' code.
        #[serde(default)]
        shared: bool,
        /// Which rails carry it.
        #[serde(default = "Rails::real")]
        rails: Rails,
    },
    /// Ornstein–Uhlenbeck: autocorrelation σ² e^{−|t|/T}.
    OrnsteinUhlenbeck {
        /// Stationary standard deviation σ.
        #[schemars(range(min = 0.0))]
        std: f64,
        /// Correlation time T, in τ.
        #[schemars(extend("exclusiveMinimum" = 0))]
        correlation_time: f64,
        /// Whether it goes on through all of training, instead of starting anew with each update of the weights.
        #[serde(default)]
        continuous: bool,
        /// Which rails carry it.
        #[serde(default)]
        rails: Rails,
    },
    /// 1/f between the corner frequencies 1/(2π longest) and 1/(2π shortest): Ornstein–Uhlenbeck processes of equal variance,
    /// two a decade of their correlation times.
    OneOverF {
        /// Standard deviation of the whole.
        #[schemars(range(min = 0.0))]
        std: f64,
        /// Shortest correlation time, in τ.
        #[schemars(extend("exclusiveMinimum" = 0))]
        shortest: f64,
        /// Longest correlation time, in τ: no shorter, and at most 12 decades longer.
        #[schemars(extend("exclusiveMinimum" = 0))]
        longest: f64,
        /// Standard deviation of white noise beside it, as `white`'s at τ = 1: it sets the corner below which 1/f prevails.
        #[serde(default)]
        #[schemars(range(min = 0.0))]
        white_std: f64,
        /// Whether it goes on through all of training, instead of starting anew with each update of the weights.
        #[serde(default)]
        continuous: bool,
        /// Which rails carry it.
        #[serde(default)]
        rails: Rails,
    },
    /// The sum of processes that has a measured density: beside an experiment a CSV `file` with its `seconds` and `scale`, which is read with it.
    Measured {
        /// Correlation time in τ and standard deviation of each Ornstein–Uhlenbeck process; what a `file` is turned into.
        components: Components,
        /// Whether it goes on through all of training, instead of starting anew with each update of the weights.
        #[serde(default)]
        continuous: bool,
        /// Which rails carry it.
        #[serde(default)]
        rails: Rails,
    },
    /// Random telegraph signal between +std and −std.
    Telegraph {
        /// Half the height of a jump, which is the standard deviation too.
        #[schemars(range(min = 0.0))]
        std: f64,
        /// Mean time at each level, in τ; at least a tenth of the step.
        #[schemars(extend("exclusiveMinimum" = 0))]
        dwell_time: f64,
        /// Whether it goes on through all of training, instead of starting anew with each update of the weights.
        #[serde(default)]
        continuous: bool,
        /// Which rails carry it.
        #[serde(default)]
        rails: Rails,
    },
}

/// Lets the schema of measured noise also accept a file in place of its processes.
fn allow_file(schema: &mut Schema) {
    let variants = schema.get_mut("oneOf").and_then(|variants| variants.as_array_mut());
    let measured = |variant: &&mut Value| variant.pointer("/properties/measured").is_some();
    let Some(variant) = variants.and_then(|variants| variants.iter_mut().find(measured)) else { return };
    let Some(object) = variant.pointer_mut("/properties/measured").and_then(Value::as_object_mut) else {
        return;
    };
    object.remove("required");
    object
        .insert("anyOf".into(), json!([{ "required": ["components"] }, { "required": ["file", "seconds"] }]));
    let Some(fields) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
    let positive = |text: &str| json!({ "type": "number", "exclusiveMinimum": 0, "description": text });
    let file = "A CSV file with `frequency` in Hz and `power`, a one-sided density per Hz.";
    fields.insert("file".into(), json!({ "type": "string", "description": file }));
    fields.insert("seconds".into(), positive("Seconds of the nominal τ."));
    fields.insert(
        "scale".into(),
        positive("What the measured quantity is multiplied by to have the unit of the noise."),
    );
}

/// Which rails of a complex state carry noise. A real state has the real rail only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rails {
    /// Both, with independent draws.
    #[default]
    Independent,
    /// Both, with the same draw.
    Equal,
    /// The real rail alone.
    Real,
}

impl Rails {
    pub(super) fn real() -> Self {
        Self::Real
    }
}

/// Jumps of a telegraph signal that a step is expected to hold at most.
const MOST_JUMPS: f64 = 10.0;

/// Decades that the correlation times of 1/f noise may span.
const MOST_DECADES: f64 = 12.0;

impl Noise {
    /// Standard deviation.
    #[must_use]
    pub fn std(self) -> f64 {
        match self {
            Self::White { std, .. }
            | Self::Held { std, .. }
            | Self::OrnsteinUhlenbeck { std, .. }
            | Self::OneOverF { std, .. }
            | Self::Telegraph { std, .. } => std,
            Self::Measured { components, .. } => components.std(),
        }
    }

    /// Whether its size is zero.
    #[must_use]
    pub fn is_silent(self) -> bool {
        let white = if let Self::OneOverF { white_std, .. } = self { white_std } else { 0.0 };
        self.std() == 0.0 && white == 0.0
    }

    /// Whether it has a white part.
    #[must_use]
    pub fn is_white(self) -> bool {
        match self {
            Self::White { .. } => true,
            Self::OneOverF { white_std, .. } => white_std > 0.0,
            _ => false,
        }
    }

    /// Whether it goes on through all of training.
    #[must_use]
    pub fn is_continuous(self) -> bool {
        match self {
            Self::White { .. } | Self::Held { .. } => false,
            Self::OrnsteinUhlenbeck { continuous, .. }
            | Self::OneOverF { continuous, .. }
            | Self::Measured { continuous, .. }
            | Self::Telegraph { continuous, .. } => continuous,
        }
    }

    /// Which rails carry it.
    #[must_use]
    pub fn rails(self) -> Rails {
        match self {
            Self::White { rails, .. }
            | Self::Held { rails, .. }
            | Self::OrnsteinUhlenbeck { rails, .. }
            | Self::OneOverF { rails, .. }
            | Self::Measured { rails, .. }
            | Self::Telegraph { rails, .. } => rails,
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// The finding, with its path.
    pub fn validate(self) -> Result<(), Invalid> {
        match self {
            Self::White { std, .. } => non_negative("white.std", std),
            Self::Held { std, .. } => non_negative("held.std", std),
            Self::OrnsteinUhlenbeck { std, correlation_time, .. } => {
                non_negative("ornstein_uhlenbeck.std", std)?;
                positive("ornstein_uhlenbeck.correlation_time", correlation_time)
            }
            Self::OneOverF { std, shortest, longest, white_std, .. } => {
                non_negative("one_over_f.std", std)?;
                non_negative("one_over_f.white_std", white_std)?;
                positive("one_over_f.shortest", shortest)?;
                positive("one_over_f.longest", longest)?;
                if longest < shortest || (longest / shortest).log10() > MOST_DECADES {
                    let found = format!("found {longest} with a shortest time of {shortest}");
                    let legal = "no shorter than `shortest`, and at most 12 decades longer";
                    return Err(Invalid::new("one_over_f.longest", found, legal));
                }
                Ok(())
            }
            Self::Measured { components, .. } => {
                if components.list().is_empty() {
                    let legal =
                        "a `file` with its `seconds`, or a list of correlation times and standard deviations";
                    return Err(Invalid::new("measured.components", "found none", legal));
                }
                components.list().iter().enumerate().try_for_each(|(k, component)| {
                    positive(&format!("measured.components[{k}][0]"), component.time)?;
                    non_negative(&format!("measured.components[{k}][1]"), component.std)
                })
            }
            Self::Telegraph { std, dwell_time, .. } => {
                non_negative("telegraph.std", std)?;
                positive("telegraph.dwell_time", dwell_time)
            }
        }
    }

    /// Checks that an integrator can carry this noise on the state.
    ///
    /// # Errors
    /// The reason why it cannot; the path is the caller's.
    pub fn check(self, integrator: IntegratorSpec, form: Form) -> Result<(), Invalid> {
        if self.is_white() && form == Form::Rate {
            return Err(Invalid::new(
                "",
                "found white noise with the rate form",
                "white noise inside an activation has no continuous-time limit: use the potential form, or `held` noise",
            ));
        }
        if let Self::White { .. } = self {
            return integrator.stochastic().map(|_| ());
        }
        self.check_held(integrator)
    }

    /// The integrator of a state of a shape that carries this noise: kicked in each step by white noise, otherwise as it is, because other
    /// noise is part of the field. `first` is the place of the first sample.
    ///
    /// # Errors
    /// White noise with an integrator that has no place for it.
    pub(crate) fn integrator<T: Scalar>(
        self,
        key: NoiseKey,
        first: usize,
        (integrator, step): (IntegratorSpec, f64),
        leak: &Leak<T>,
        shape: &StateShape,
    ) -> crate::error::Result<Box<dyn Integrator<T>>> {
        let Self::White { std, rails } = self else { return Ok(integrator.build(step, leak, shape.len())) };
        let method = integrator.stochastic().map_err(|e| e.in_file("integrator"))?;
        let white = WhiteNoise::new(key, (std, rails), first, (method, step), leak, shape.clone());
        Ok(Box::new(FixedStep::new(method, step, leak, shape.len()).kicked(white)))
    }

    /// Checks that a step is not too long to follow a telegraph signal from jump to jump.
    ///
    /// # Errors
    /// The finding; the path is the caller's.
    pub fn check_step(self, step: f64) -> Result<(), Invalid> {
        match self {
            Self::Telegraph { dwell_time, .. } if dwell_time * MOST_JUMPS < step => {
                let found =
                    format!("found a step of {step} with a telegraph signal of dwell time {dwell_time}");
                let legal = format!(
                    "at most {MOST_JUMPS} dwell times: lower the step, or use ornstein_uhlenbeck of half that correlation time"
                );
                Err(Invalid::new("", found, legal))
            }
            _ => Ok(()),
        }
    }

    /// Checks that an integrator can carry this noise on an input, a synapse or the teaching signal, where it is held through
    /// each step.
    ///
    /// # Errors
    /// The reason why it cannot; the path is the caller's.
    pub fn check_held(self, integrator: IntegratorSpec) -> Result<(), Invalid> {
        // Held through each step, it is part of a smooth field, which rk4 can follow.
        if self.is_white() && !matches!(integrator, IntegratorSpec::Rk4 { .. }) {
            integrator.stochastic()?;
        }
        let Some((_, step)) = integrator.fixed_step() else {
            let found = "found noise that is held through a step with an adaptive integrator";
            let legal = "its steps are the lock-in's samples, not the noise's: use a fixed-step integrator";
            return Err(Invalid::new("", found, legal));
        };
        self.check_step(step)
    }
}

/// White noise as the additive increment of each step.
pub struct WhiteNoise<T: Scalar> {
    key: NoiseKey,
    rails: Rails,
    first: usize,
    /// Standard deviation of an element's increment.
    std: Leak<T>,
    shape: StateShape,
    increment: Vec<T>,
}

impl<T: Scalar> WhiteNoise<T> {
    /// Increments of a state of a shape for a method and step, of the size that leaves an isolated neuron with σ whatever its h/τ: σ√(1 − R²)/g, where
    /// a step makes R u + g k of a potential u and an increment k.
    #[must_use]
    pub fn new(
        key: NoiseKey,
        (std, rails): (f64, Rails),
        first: usize,
        (method, step): (Method, f64),
        leak: &Leak<T>,
        shape: StateShape,
    ) -> Self {
        let scale = |rate: T| {
            let h = step * rate.double();
            let lost = method.lost(h);
            T::of(std * (lost * (2.0 - lost)).max(0.0).sqrt() / method.gain(h))
        };
        let increment = vec![T::zero(); shape.len()];
        Self { key, rails, first, std: leak.map(scale), shape, increment }
    }
}

impl<T: Scalar> Kicks<T> for WhiteNoise<T> {
    fn white(&self) -> Option<White<'_, T>> {
        Some(White { key: self.key, rails: self.rails, first: self.first, std: &self.std })
    }

    fn draw(&mut self, tick: u64) -> &[T] {
        let normals = |lane: u64, column: &mut [T]| self.key.normals(tick, lane, column);
        fill(self.rails, 0, &self.shape, |sample| self.first + sample, normals, &mut self.increment);
        match &self.std {
            Leak::Uniform(std) => self.increment.iter_mut().for_each(|x| *x *= *std),
            Leak::PerElement(stds) => self.increment.iter_mut().zip(stds).for_each(|(x, std)| *x *= *std),
        }
        &self.increment
    }
}

/// Random numbers for every element, by `draw(lane, column)`. A draw's lane names component, layer, rail and sample, so it
/// does not depend on how a batch was cut. Samples of one place share their draws.
pub(super) fn fill<T: Scalar>(
    rails: Rails,
    component: usize,
    shape: &StateShape,
    place: impl Fn(usize) -> usize,
    draw: impl Fn(u64, &mut [T]),
    out: &mut [T],
) {
    const SAMPLES: u64 = 1 << 20;
    const COMPONENT: u64 = 1 << 40;
    for layer in 0..shape.layers() {
        for sample in 0..shape.batch {
            let lane = |rail: u64| {
                component as u64 * COMPONENT + (2 * layer as u64 + rail) * SAMPLES + place(sample) as u64
            };
            let real = shape.column(layer, 0, sample);
            if sample > 0 && place(sample) == place(0) {
                for rail in 0..shape.rails {
                    out.copy_within(shape.column(layer, rail, 0), shape.column(layer, rail, sample).start);
                }
                continue;
            }
            draw(lane(0), &mut out[real.clone()]);
            if shape.rails == 1 {
                continue;
            }
            let imaginary = shape.column(layer, 1, sample);
            match rails {
                Rails::Independent => draw(lane(1), &mut out[imaginary]),
                Rails::Equal => out.copy_within(real, imaginary.start),
                Rails::Real => out[imaginary].fill(T::zero()),
            }
        }
    }
}

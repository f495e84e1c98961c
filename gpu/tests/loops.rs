//! Layered networks in plain loops of complex double precision.

use holograd_gpu::{Activation, Edge, Interaction, Method, Output, Plan, Pooling, Window};
use num_complex::Complex64;

/// A generator of xorshift's kind.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    /// On [−1, 1], in single precision.
    pub fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

/// Numbers of every layer, [layer][sample][neuron].
#[derive(Clone)]
pub struct State {
    pub layers: Vec<Vec<Vec<Complex64>>>,
    rails: usize,
}

impl State {
    pub fn zero(plan: &Plan, batch: usize) -> Self {
        let layer = |size: usize| vec![vec![Complex64::default(); size]; batch];
        Self { layers: plan.layers.iter().map(|l| layer(l.size)).collect(), rails: 2 }
    }

    pub fn random(plan: &Plan, batch: usize, rails: usize, size: f32, random: &mut Random) -> Self {
        let mut state = Self { rails, ..Self::zero(plan, batch) };
        let mut draw = || f64::from(size * random.number());
        for z in state.layers.iter_mut().flatten().flatten() {
            *z = Complex64::new(draw(), if rails == 2 { draw() } else { 0.0 });
        }
        state
    }

    fn laid_out(&self, rails: usize) -> Vec<f64> {
        let mut out = Vec::new();
        for layer in &self.layers {
            out.extend(layer.iter().flatten().map(|z| z.re));
            if rails == 2 {
                out.extend(layer.iter().flatten().map(|z| z.im));
            }
        }
        out
    }

    pub fn double(&self) -> Vec<f64> {
        self.laid_out(self.rails)
    }

    pub fn complex(&self) -> Vec<f64> {
        self.laid_out(2)
    }

    pub fn single(&self) -> Vec<f32> {
        self.double().into_iter().map(|x| x as f32).collect()
    }

    pub fn scaled(&self, by: &Self) -> Self {
        let mut out = self.clone();
        let all = out.layers.iter_mut().flatten().flatten();
        all.zip(by.layers.iter().flatten().flatten()).for_each(|(z, by)| *z *= by);
        out
    }

    pub fn add(&mut self, other: &Self, w: Complex64) {
        let all = self.layers.iter_mut().flatten().flatten();
        all.zip(other.layers.iter().flatten().flatten()).for_each(|(z, other)| *z += w * other);
    }

    pub fn step(&mut self, goal: &Self, factor: &[f32], method: Method) {
        let mut offset = 0;
        for (layer, goals) in self.layers.iter_mut().zip(&goal.layers) {
            for (sample, goals) in layer.iter_mut().zip(goals) {
                for (n, (s, g)) in sample.iter_mut().zip(goals).enumerate() {
                    let f = f64::from(factor[offset + n]);
                    *s = match method {
                        Method::Map => *g,
                        Method::Euler => *s + f * (*g - *s),
                        Method::Exponential => *g + f * (*s - *g),
                    };
                }
            }
            offset += layer[0].len();
        }
    }
}

pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// A network with its weights.
pub struct Loops {
    plan: Plan,
    pub weights: Vec<Vec<f32>>,
    pub readout: (Vec<f32>, Vec<f32>),
    pub gain: Vec<f32>,
}

impl Loops {
    pub fn new(plan: &Plan, random: &mut Random) -> Self {
        let mut weights = Vec::new();
        for edge in &plan.edges {
            let of = edge.interaction;
            let size = 0.5 / ((of.kernel[0] * of.kernel[1] * of.input[2]) as f32).sqrt();
            weights.push((0..of.weights()).map(|_| size * random.number()).collect());
        }
        let output = plan.layers[plan.output_layer()].size;
        let classes = plan.outputs();
        let mut draw = |n: usize, size: f32| (0..n).map(|_| size * random.number()).collect::<Vec<f32>>();
        let readout = (draw(classes * output, 0.5), draw(classes, 0.5));
        let gain = draw(output, 0.3).into_iter().map(|x| 1.0 + x).collect();
        Self { plan: plan.clone(), weights, readout, gain }
    }

    /// A drive, real, laid out for so many rails, and targets.
    pub fn samples(&self, batch: usize, rails: usize, random: &mut Random) -> (Vec<f32>, Vec<f32>) {
        let mut drive = State::random(&self.plan, batch, 1, 0.5, random);
        drive.rails = rails;
        let targets = (0..self.plan.outputs() * batch).map(|_| 0.5 + 0.5 * random.number()).collect();
        (drive.single(), targets)
    }

    fn activate(&self, layer: usize, z: Complex64) -> Complex64 {
        let sigma = |z: Complex64| 1.0 / (1.0 + (-z).exp());
        match self.plan.layers[layer].activation {
            Activation::Logistic { slope, offset } => sigma(z * f64::from(slope) + f64::from(offset)),
            Activation::Tanh => z.tanh(),
            Activation::Dsilu => z * 0.5 * sigma(z) + (1.0 - z * 0.5) * sigma(z - 2.0),
            Activation::Softplus => (1.0 + z.exp()).ln(),
            Activation::Identity => z,
            Activation::HardTanh => Complex64::new(z.re.clamp(-1.0, 1.0), 0.0),
            Activation::HardDsilu => Complex64::new((0.5 * z.re).clamp(0.0, 1.0), 0.0),
            Activation::Relu => Complex64::new(z.re.max(0.0), 0.0),
        }
    }

    pub fn rates(&self, state: &State) -> State {
        let mut rates = state.clone();
        if !self.plan.rates {
            for (index, layer) in rates.layers.iter_mut().enumerate() {
                layer.iter_mut().flatten().for_each(|z| *z = self.activate(index, *z));
            }
        }
        rates
    }

    pub fn error(&self, rates: &State, targets: &[f32]) -> Vec<Complex64> {
        let outputs = self.plan.outputs();
        let mut error = Vec::new();
        for (sample, a) in rates.layers[self.plan.output_layer()].iter().enumerate() {
            let y: Vec<Complex64> = match self.plan.output {
                Output::SquaredError { .. } => a.clone(),
                Output::Readout { classes, .. } => {
                    let sum = |c: usize| {
                        let weight = |n: usize| f64::from(self.readout.0[n * classes + c]);
                        a.iter().enumerate().map(|(n, a)| a * weight(n)).sum::<Complex64>()
                            + f64::from(self.readout.1[c])
                    };
                    let e: Vec<Complex64> = (0..classes).map(|c| sum(c).exp()).collect();
                    let total: Complex64 = e.iter().sum();
                    e.into_iter().map(|e| e / total).collect()
                }
            };
            error.extend(y.iter().zip(&targets[sample * outputs..]).map(|(y, t)| y - f64::from(*t)));
        }
        error
    }

    pub fn target(&self, state: &State, drive: &[f32], targets: &[f32], beta: Complex64) -> State {
        let rates = self.rates(state);
        let mut goal = self.coupled(&rates);
        let mut at = 0;
        for layer in &mut goal.layers {
            for z in layer.iter_mut().flatten() {
                *z += f64::from(drive[at]);
                at += 1;
            }
            // The imaginary rail.
            at += (goal.rails - 1) * layer.len() * layer[0].len();
        }
        let error = self.error(&rates, targets);
        let outputs = self.plan.outputs();
        for (sample, out) in goal.layers[self.plan.output_layer()].iter_mut().enumerate() {
            let error = &error[sample * outputs..][..outputs];
            for (n, z) in out.iter_mut().enumerate() {
                let slope = match self.plan.output {
                    Output::SquaredError { .. } => error[n],
                    Output::Readout { classes, .. } => error
                        .iter()
                        .enumerate()
                        .map(|(c, e)| e * f64::from(self.readout.0[n * classes + c]))
                        .sum(),
                };
                *z -= beta * f64::from(self.gain[n]) * slope;
            }
        }
        if self.plan.rates {
            for (index, layer) in goal.layers.iter_mut().enumerate() {
                layer.iter_mut().flatten().for_each(|z| *z = self.activate(index, *z));
            }
        }
        goal
    }

    /// Σ of what all connections send.
    fn coupled(&self, rates: &State) -> State {
        let mut out = State { rails: rates.rails, ..State::zero(&self.plan, rates.layers[0].len()) };
        for edge in &self.plan.edges {
            for sample in 0..rates.layers[0].len() {
                let sent = self.sent(edge, rates, sample);
                out.layers[edge.to][sample].iter_mut().zip(sent).for_each(|(o, x)| *o += x);
            }
        }
        out
    }

    fn sent(&self, edge: &Edge, rates: &State, sample: usize) -> Vec<Complex64> {
        let of = &edge.interaction;
        let (below, above) = edge.ends();
        let z = self.convolved(edge, &rates.layers[below][sample]);
        if !edge.backward {
            return pooled(of, &z).0;
        }
        let slopes = pooled(of, &z).1;
        let v = &rates.layers[above][sample];
        let mut w = vec![Complex64::default(); z.len()];
        for (above, below, slope) in slopes {
            w[below] += slope * v[above];
        }
        let mut out = vec![Complex64::default(); rates.layers[below][sample].len()];
        self.taps(edge, |from, to, weight| out[from] += w[to] * weight);
        out
    }

    fn convolved(&self, edge: &Edge, a: &[Complex64]) -> Vec<Complex64> {
        let mut z = vec![Complex64::default(); edge.interaction.unpooled()];
        self.taps(edge, |from, to, weight| z[to] += a[from] * weight);
        z
    }

    /// Every (place below, place above before pooling, weight).
    fn taps(&self, edge: &Edge, mut tap: impl FnMut(usize, usize, f64)) {
        let of = &edge.interaction;
        let weights = &self.weights[edge.weights];
        let ([h, w, c], [oh, ow, oc]) = (of.input, of.output);
        for (y, x, ky, kx) in (0..oh).flat_map(|y| {
            (0..ow).flat_map(move |x| {
                (0..of.kernel[0]).flat_map(move |ky| (0..of.kernel[1]).map(move |kx| (y, x, ky, kx)))
            })
        }) {
            let (iy, ix) = (y * of.stride + ky, x * of.stride + kx);
            if iy < of.before[0] || ix < of.before[1] || iy - of.before[0] >= h || ix - of.before[1] >= w {
                continue;
            }
            let position = (iy - of.before[0]) * w + ix - of.before[1];
            for (i, o) in (0..c).flat_map(|i| (0..oc).map(move |o| (i, o))) {
                let weight = weights[((ky * of.kernel[1] + kx) * c + i) * oc + o];
                tap(position * c + i, (y * ow + x) * oc + o, f64::from(weight));
            }
        }
    }

    /// The derivative of [`Self::coupled`] at real rates along v, by central differences.
    pub fn coupled_along(&self, rates: &State, v: &State) -> State {
        const STEP: f64 = 1e-5;
        let mut sum = State { rails: v.rails, ..State::zero(&self.plan, rates.layers[0].len()) };
        for sign in [1.0, -1.0] {
            let mut moved = rates.clone();
            moved.add(v, (sign * STEP).into());
            sum.add(&self.coupled(&moved), (sign / (2.0 * STEP)).into());
        }
        sum
    }
}

/// P(z), and ∂P/∂z as (place above, place below, slope).
fn pooled(of: &Interaction, z: &[Complex64]) -> (Vec<Complex64>, Vec<(usize, usize, Complex64)>) {
    let Some(Window { size, stride }) = of.window() else {
        return (z.to_vec(), (0..z.len()).map(|i| (i, i, Complex64::new(1.0, 0.0))).collect());
    };
    let ([_, width, channels], [height, across]) = (of.output, of.pooled());
    let (mut up, mut slopes) = (Vec::new(), Vec::new());
    for (y, x, c) in
        (0..height).flat_map(|y| (0..across).flat_map(move |x| (0..channels).map(move |c| (y, x, c))))
    {
        let places: Vec<usize> = (0..size * size)
            .map(|j| ((y * stride + j / size) * width + x * stride + j % size) * channels + c)
            .collect();
        let n = places.len() as f64;
        match of.pooling {
            Pooling::Softmax { temperature, .. } => {
                let t = f64::from(temperature);
                let e: Vec<Complex64> = places.iter().map(|p| (z[*p] / t).exp()).collect();
                let total: Complex64 = e.iter().sum();
                let value: Complex64 = places.iter().zip(&e).map(|(p, e)| z[*p] * e / total).sum();
                for (place, e) in places.iter().zip(&e) {
                    slopes.push((up.len(), *place, e / total * (1.0 + (z[*place] - value) / t)));
                }
                up.push(value);
            }
            _ => {
                slopes.extend(places.iter().map(|p| (up.len(), *p, Complex64::new(1.0 / n, 0.0))));
                up.push(places.iter().map(|p| z[*p]).sum::<Complex64>() / n);
            }
        }
    }
    (up, slopes)
}

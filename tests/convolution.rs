//! Convolutional networks against the golden data of `tests/data/conv`, by a relaxation map of this file's own.

use std::collections::BTreeMap;

use holograd::files::{Tensors, read_tensors};
use holograd::numerics::convolution::geometry::{Geometry, Padding, Shape};
use holograd::numerics::convolution::{At, Convolution, Method, PooledConvolution, Scratch};
use holograd::numerics::pooling::{Pooling, Window};
use holograd::numerics::rails::{Rails, RailsMut};
use holograd::substrate::neurons::activation::Activation;
use num_complex::Complex;

use crate::common::path;

type C = Complex<f64>;
/// One layer's numbers after another: planar, all samples.
type Layers = Vec<Vec<f64>>;
type Gradients = BTreeMap<String, Vec<f64>>;

/// Map steps until nothing changes.
const STEPS: usize = 5000;

struct Net {
    tensors: Tensors,
    samples: usize,
    classes: usize,
    /// Bottom-up connections, from the input on.
    forward: Vec<PooledConvolution<f64>>,
    /// Separate feedback, from the second connection on; else the forward ones serve both ways.
    feedback: Option<Vec<PooledConvolution<f64>>>,
    biases: Layers,
    /// [features × classes], row-major.
    readout: Vec<f64>,
    readout_bias: Vec<f64>,
    x: Vec<f64>,
    target: Vec<f64>,
}

impl Net {
    fn load(name: &str, method: Method) -> Self {
        let mut tensors = read_tensors(path(&format!("tests/data/conv/{name}.safetensors"))).unwrap();
        let net: serde_json::Value = serde_json::from_str(&tensors.metadata["net"]).unwrap();
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let mut below =
            Shape::new(number(&net["input"][0]), number(&net["input"][1]), number(&net["input"][2]));
        let (mut forward, mut feedback, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        let connection = |tensors: &mut Tensors, name: String, geometry: Geometry, pooling| {
            let [height, width] = geometry.kernel;
            let shape = [height, width, geometry.input.channels, geometry.output.channels];
            let mut connection = PooledConvolution::new(Convolution::new(geometry, method), pooling).unwrap();
            connection.set_kernel(&tensors.reals::<f64>(&name, &shape).unwrap());
            connection
        };
        for (layer, spec) in (1..).zip(net["layers"].as_array().unwrap()) {
            let padding = if spec["pad"] == "SAME" { Padding::Same } else { Padding::Valid };
            let channels = number(&spec["c"]);
            let geometry = Geometry::new(below, channels, [number(&spec["k"]); 2], 1, padding).unwrap();
            let temperature = spec["T"].as_f64().unwrap();
            let pooling = match spec["pool"].as_str().unwrap() {
                "none" => Pooling::None,
                _ => Pooling::Softmax { window: Window { size: 2, stride: 2 }, temperature },
            };
            forward.push(connection(&mut tensors, format!("param.W{layer}"), geometry, pooling));
            if net["feedback"] == "separate" && layer > 1 {
                feedback.push(connection(&mut tensors, format!("param.B{layer}"), geometry, pooling));
            }
            biases.push(tensors.reals(&format!("param.b{layer}"), &[channels]).unwrap());
            below = forward.last().unwrap().output();
        }
        let classes = number(&net["classes"]);
        let readout = tensors.reals("param.R", &[below.size(), classes]).unwrap();
        let readout_bias = tensors.reals("param.r", &[classes]).unwrap();
        let input = forward[0].input();
        let samples = tensors.get("x").unwrap().shape[0];
        let x = tensors.reals("x", &[samples, input.height, input.width, input.channels]).unwrap();
        let target = tensors.reals("y_onehot", &[samples, classes]).unwrap();
        let feedback = (!feedback.is_empty()).then_some(feedback);
        Self { tensors, samples, classes, forward, feedback, biases, readout, readout_bias, x, target }
    }

    /// The arrays of all layers with that name.
    fn layers(&mut self, name: impl Fn(usize) -> String) -> Layers {
        let samples = self.samples;
        let shapes: Vec<Shape> = self.forward.iter().map(PooledConvolution::output).collect();
        (1..)
            .zip(shapes)
            .map(|(layer, s)| {
                self.tensors.reals(&name(layer), &[samples, s.height, s.width, s.channels]).unwrap()
            })
            .collect()
    }

    fn zeros(&self, rails: usize) -> Layers {
        self.forward.iter().map(|f| vec![0.0; rails * self.samples * f.output().size()]).collect()
    }

    /// The input as a state of so many rails.
    fn input(&self, rails: usize) -> Vec<f64> {
        let mut x = self.x.clone();
        x.resize(rails * self.x.len(), 0.0);
        x
    }

    fn backward(&self, layer: usize) -> &PooledConvolution<f64> {
        self.feedback.as_ref().map_or(&self.forward[layer], |feedback| &feedback[layer - 1])
    }

    /// Σ of the currents into each layer, without teaching.
    fn currents(&self, h: &Layers, rails: usize, scratch: &mut Scratch<f64>) -> Layers {
        let mut into = self.zeros(rails);
        for (layer, into) in into.iter_mut().enumerate() {
            let channels = self.biases[layer].len();
            for (index, u) in
                into[..self.samples * self.forward[layer].output().size()].iter_mut().enumerate()
            {
                *u = self.biases[layer][index % channels];
            }
        }
        for layer in 0..self.forward.len() {
            let a = if layer == 0 { self.input(rails) } else { h[layer - 1].clone() };
            let a = Rails::of(&a, rails);
            let (lower, upper) = into.split_at_mut(layer);
            let up = Some(RailsMut::of(&mut upper[0], rails));
            let v = Rails::of(&h[layer], rails);
            let down = lower.last_mut().map(|down| (v, RailsMut::of(down, rails)));
            if self.feedback.is_some() {
                self.forward[layer].currents(a, up, None, scratch);
                if down.is_some() {
                    self.backward(layer).currents(a, None, down, scratch);
                }
            } else {
                self.forward[layer].currents(a, up, down, scratch);
            }
        }
        into
    }

    /// p − y of each sample, [samples × classes], by softmax without conjugation.
    fn errors(&self, h: &Layers, rails: usize) -> Vec<C> {
        let top = complex(h.last().unwrap(), rails);
        let features = top.len() / self.samples;
        let mut errors = Vec::new();
        for (h, target) in top.chunks(features).zip(self.target.chunks(self.classes)) {
            let logit = |c: usize| -> C {
                let sum: C = (0..features).map(|i| h[i] * self.readout[i * self.classes + c]).sum();
                sum + self.readout_bias[c]
            };
            let exps: Vec<C> = (0..self.classes).map(|c| logit(c).exp()).collect();
            let sum: C = exps.iter().sum();
            errors.extend(exps.iter().zip(target).map(|(e, y)| e / sum - y));
        }
        errors
    }

    /// ∂C/∂h of the top layer.
    fn teaching(&self, h: &Layers, rails: usize) -> Vec<C> {
        let errors = self.errors(h, rails);
        let row = |error: &[C], weights: &[f64]| -> C { error.iter().zip(weights).map(|(e, w)| e * w).sum() };
        let each = errors.chunks(self.classes);
        each.flat_map(|error| self.readout.chunks(self.classes).map(move |weights| row(error, weights)))
            .collect()
    }

    /// h ← σ(currents − β ∂C/∂h), so many times or until nothing changes.
    fn relax(&self, h: &mut Layers, beta: C, rails: usize, steps: usize) {
        let mut scratch = Scratch::default();
        for _ in 0..steps {
            let mut into = self.currents(h, rails, &mut scratch);
            if beta != C::ZERO {
                let teaching = self.teaching(h, rails).into_iter().map(|t| -t * beta);
                add(into.last_mut().unwrap(), teaching, rails);
            }
            let next: Layers = into.iter().map(|u| activate(u, rails)).collect();
            let change = distance(h, &next);
            *h = next;
            if change < 1e-15 {
                return;
            }
        }
        assert!(steps < STEPS, "not settled");
    }

    fn free(&self) -> Layers {
        let mut h = self.zeros(1);
        self.relax(&mut h, C::ZERO, 1, STEPS);
        h
    }

    /// gradient += Re[factor · ∂Φ/∂θ] at a state, without the read-out, over the samples' number.
    fn energy_gradient(&self, h: &Layers, rails: usize, factor: C, gradients: &mut Gradients) {
        let mut scratch = Scratch::default();
        let factor = factor / self.samples as f64;
        for (layer, connection) in self.forward.iter().enumerate() {
            let a = if layer == 0 { self.input(rails) } else { h[layer - 1].clone() };
            let z = intermediate(connection, &a, rails);
            let scaled: Vec<C> = complex(&h[layer], rails).into_iter().map(|v| v * factor).collect();
            let v = planar(&scaled, rails);
            let gradient =
                entry(gradients, format!("W{}", layer + 1), connection.convolution().geometry().weights());
            let (a, z, v) = (Rails::of(&a, rails), Rails::of(&z, rails), Rails::of(&v, rails));
            connection.gradient_at(a, z, v, gradient, &mut scratch);
            self.bias_gradient(layer, &scaled, gradients);
        }
    }

    fn bias_gradient(&self, layer: usize, v: &[C], gradients: &mut Gradients) {
        let channels = self.biases[layer].len();
        let gradient = entry(gradients, format!("b{}", layer + 1), channels);
        v.iter().enumerate().for_each(|(index, v)| gradient[index % channels] += v.re);
    }

    /// gradient += factor · ∂C/∂(read-out), of the mean cost.
    fn readout_gradient(&self, h: &Layers, rails: usize, factor: f64, gradients: &mut Gradients) {
        let factor = factor / self.samples as f64;
        let top = complex(h.last().unwrap(), rails);
        let features = top.len() / self.samples;
        for (h, error) in top.chunks(features).zip(self.errors(h, rails).chunks(self.classes)) {
            let weights = entry(gradients, "R".to_owned(), self.readout.len());
            for (i, c) in (0..features).flat_map(|i| (0..self.classes).map(move |c| (i, c))) {
                weights[i * self.classes + c] += factor * (h[i] * error[c]).re;
            }
            let biases = entry(gradients, "r".to_owned(), self.classes);
            biases.iter_mut().zip(error).for_each(|(g, e)| *g += factor * e.re);
        }
    }

    /// Paper 1's estimate from N nudged states around a free one.
    fn estimate(&self, free: &Layers, amplitude: f64, points: usize, steps: usize) -> Gradients {
        let rails = if points > 2 { 2 } else { 1 };
        let mut gradients = Gradients::new();
        for point in 0..points {
            let turn = std::f64::consts::TAU * point as f64 / points as f64;
            let beta = if points > 2 {
                C::from_polar(amplitude, turn)
            } else {
                C::from(amplitude * turn.cos().round())
            };
            let mut h: Layers = free.clone();
            h.iter_mut().for_each(|h| h.resize(h.len() * rails, 0.0));
            self.relax(&mut h, beta, rails, steps);
            self.energy_gradient(&h, rails, -(beta * points as f64).inv(), &mut gradients);
            self.readout_gradient(&h, rails, 1.0 / points as f64, &mut gradients);
        }
        gradients
    }

    /// ∂(currents)/∂h · d at a real state, the directions of so many rails.
    fn jacobian(&self, h: &Layers, d: &Layers, rails: usize) -> Layers {
        let mut scratch = Scratch::default();
        let mut into = self.zeros(rails);
        for layer in 1..self.forward.len() {
            let (lower, upper) = into.split_at_mut(layer);
            let up = RailsMut::of(&mut upper[0], rails);
            let down = RailsMut::of(&mut lower[layer - 1], rails);
            let mut along = |connection: &PooledConvolution<f64>, up, down| {
                let z = intermediate(connection, &h[layer - 1], 1);
                let dz = intermediate(connection, &d[layer - 1], rails);
                let (v, dv) = (Some(Rails::real(&h[layer][..])), Some(Rails::of(&d[layer], rails)));
                let at = At { z: Rails::real(&z), dz: Rails::of(&dz, rails), v, dv };
                connection.derivatives_at(&at, up, down, &mut scratch);
            };
            if self.feedback.is_some() {
                along(&self.forward[layer], Some(up), None);
                along(self.backward(layer), None, Some(down));
            } else {
                along(&self.forward[layer], Some(up), Some(down));
            }
        }
        into
    }

    /// The solution c of (iωτ + 1) c = D (F_h c + force), D the activation's slopes, by iteration.
    fn response(&self, h: &Layers, force: &[C], wtau: f64) -> Vec<Vec<C>> {
        let slopes: Layers = self.currents(h, 1, &mut Scratch::default()).iter().map(|u| slopes(u)).collect();
        let mut c = self.zeros(2);
        for _ in 0..STEPS {
            let mut next = self.jacobian(h, &c, 2);
            add(next.last_mut().unwrap(), force.iter().copied(), 2);
            for (next, slopes) in next.iter_mut().zip(&slopes) {
                let moved = complex(next, 2).into_iter().zip(slopes);
                *next = planar(&moved.map(|(x, s)| x * s / C::new(1.0, wtau)).collect::<Vec<C>>(), 2);
            }
            let change = distance(&c, &next);
            c = next;
            if change < 1e-16 {
                return c.iter().map(|c| complex(c, 2)).collect();
            }
        }
        panic!("not settled");
    }

    /// Paper 2's estimate: the derivative of the field by the parameters at the free state, along the rates' response.
    fn field_gradient(&self, h: &Layers, response: &Layers) -> Gradients {
        let (mut gradients, mut scratch) = (Gradients::new(), Scratch::default());
        self.readout_gradient(h, 1, 1.0, &mut gradients);
        let share = |values: &[f64]| values.iter().map(|x| x / self.samples as f64).collect::<Vec<f64>>();
        for (layer, connection) in self.forward.iter().enumerate() {
            let a = if layer == 0 { &self.x } else { &h[layer - 1] };
            let (v, weights) = (share(&response[layer]), connection.convolution().geometry().weights());
            let z = intermediate(connection, a, 1);
            let gradient = entry(&mut gradients, format!("W{}", layer + 1), weights);
            connection.gradient_at(Rails::real(a), Rails::real(&z), Rails::real(&v), gradient, &mut scratch);
            self.bias_gradient(layer, &complex(&v, 1), &mut gradients);
            if layer > 0 {
                let (feedback, da) = (self.backward(layer), share(&response[layer - 1]));
                let (z, dz) = (intermediate(feedback, a, 1), intermediate(feedback, &da, 1));
                let gradient = entry(&mut gradients, format!("B{}", layer + 1), weights);
                let v = Some(Rails::real(&h[layer][..]));
                let at = At { z: Rails::real(&z), dz: Rails::real(&dz), v, dv: None };
                feedback.gradient_derivative_at(
                    Rails::real(a),
                    Rails::real(&da),
                    &at,
                    gradient,
                    &mut scratch,
                );
            }
        }
        gradients
    }

    #[track_caller]
    fn compare(&mut self, name: &str, found: &Gradients, tolerance: f64) {
        for (parameter, found) in found {
            let key = format!("grad.{name}.{parameter}");
            let shape = self.tensors.get(&key).unwrap_or_else(|| panic!("{key}")).shape.clone();
            let expected = self.tensors.reals::<f64>(&key, &shape).unwrap();
            let norm = expected.iter().map(|g| g * g).sum::<f64>().sqrt();
            let error = found.iter().zip(&expected).map(|(f, e)| (f - e).powi(2)).sum::<f64>().sqrt() / norm;
            assert!(found.len() == expected.len() && error < tolerance, "{key}: {error:e}");
        }
    }
}

fn entry(gradients: &mut Gradients, name: String, length: usize) -> &mut Vec<f64> {
    gradients.entry(name).or_insert_with(|| vec![0.0; length])
}

fn intermediate(connection: &PooledConvolution<f64>, a: &[f64], rails: usize) -> Vec<f64> {
    let mut z = vec![0.0; a.len() / connection.input().size() * connection.intermediate().size()];
    connection.convolve(Rails::of(a, rails), RailsMut::of(&mut z, rails), &mut Scratch::default());
    z
}

fn complex(values: &[f64], rails: usize) -> Vec<C> {
    let rails = Rails::of(values, rails);
    (0..rails.re.len()).map(|i| C::new(rails.re[i], rails.im.get(i).copied().unwrap_or(0.0))).collect()
}

fn planar(values: &[C], rails: usize) -> Vec<f64> {
    let im = values.iter().map(|z| z.im).take(if rails == 2 { values.len() } else { 0 });
    values.iter().map(|z| z.re).chain(im).collect()
}

fn add(values: &mut [f64], summands: impl Iterator<Item = C>, rails: usize) {
    let values = RailsMut::of(values, rails);
    for (index, z) in summands.enumerate() {
        values.re[index] += z.re;
        if rails == 2 {
            values.im[index] += z.im;
        }
    }
}

fn activate(u: &[f64], rails: usize) -> Vec<f64> {
    let mut h = vec![0.0; u.len()];
    if rails == 1 {
        Activation::Dsilu.apply_real(u, &mut h);
    } else {
        let (from, to) = (Rails::of(u, 2), RailsMut::of(&mut h, 2));
        Activation::Dsilu.apply(from.re, from.im, to.re, to.im);
    }
    h
}

fn slopes(u: &[f64]) -> Vec<f64> {
    let mut slopes = vec![0.0; u.len()];
    Activation::Dsilu.derivative_real(u, &mut slopes);
    slopes
}

fn distance(a: &Layers, b: &Layers) -> f64 {
    let each = a.iter().flatten().zip(b.iter().flatten());
    each.map(|(a, b)| (a - b).abs()).fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
}

#[track_caller]
fn close(found: &Layers, expected: &Layers, tolerance: f64) {
    assert_eq!(
        found.iter().map(Vec::len).collect::<Vec<_>>(),
        expected.iter().map(Vec::len).collect::<Vec<_>>()
    );
    let error = distance(found, expected);
    assert!(error < tolerance, "{error:e}");
}

const TIED: [&str; 3] = ["soft2", "soft3v", "nopool2"];

fn tied() -> impl Iterator<Item = Net> {
    let methods = [Method::Direct, Method::Winograd2, Method::Winograd4];
    TIED.into_iter().zip(methods).map(|(name, method)| Net::load(name, method))
}

#[test]
fn states_relax_as_the_authors_code_does() {
    for mut net in tied() {
        let mut h = net.zeros(1);
        net.relax(&mut h, C::ZERO, 1, 3);
        close(&h, &net.layers(|layer| format!("state.t3.h{layer}")), 1e-12);
        net.relax(&mut h, C::ZERO, 1, 17);
        close(&h, &net.layers(|layer| format!("state.t20.h{layer}")), 1e-12);
        net.relax(&mut h, C::ZERO, 1, STEPS);
        close(&h, &net.layers(|layer| format!("free.h{layer}")), 1e-9);
        for (name, beta) in [("beta+1", 1.0), ("beta-1", -1.0)] {
            let mut nudged = h.clone();
            net.relax(&mut nudged, C::from(beta), 1, STEPS);
            close(&nudged, &net.layers(|layer| format!("rail.{name}.h{layer}")), 1e-9);
        }
        let mut rail: Layers = h.clone();
        rail.iter_mut().for_each(|h| h.resize(2 * h.len(), 0.0));
        net.relax(&mut rail, C::from_polar(0.3, std::f64::consts::TAU / 10.0), 2, STEPS);
        let re = net.layers(|layer| format!("rail.beta0.3_k1of10.h{layer}.re"));
        let im = net.layers(|layer| format!("rail.beta0.3_k1of10.h{layer}.im"));
        let expected: Layers = re.into_iter().zip(im).map(|(re, im)| [re, im].concat()).collect();
        close(&rail, &expected, 1e-9);
    }
}

#[test]
fn nudged_states_give_the_authors_gradients() {
    for mut net in tied() {
        let free = net.free();
        for (name, amplitude, points) in
            [("hep_N2_beta1.0", 1.0, 2), ("hep_N2_beta0.3", 0.3, 2), ("hep_N10_beta0.3", 0.3, 10)]
        {
            let gradients = net.estimate(&free, amplitude, points, STEPS);
            net.compare(name, &gradients, 1e-8);
        }
        let mut start = net.zeros(1);
        net.relax(&mut start, C::ZERO, 1, 20);
        let gradients = net.estimate(&start, 1.0, 2, 8);
        net.compare("hep_N2_beta1_T20_8", &gradients, 1e-8);
    }
}

#[test]
fn jacobian_and_response_are_the_oracles() {
    for mut net in tied() {
        let free = net.layers(|layer| format!("free.h{layer}"));
        let v = net.layers(|layer| format!("oracle.jv.v.h{layer}"));
        close(&net.jacobian(&free, &v, 1), &net.layers(|layer| format!("oracle.jv.Fh_v.h{layer}")), 1e-10);
        let force: Vec<C> = net.teaching(&free, 1).into_iter().map(|t| -t).collect();
        let still: Layers = net.response(&free, &force, 0.0).iter().map(|c| planar(c, 1)).collect();
        close(&still, &net.layers(|layer| format!("oracle.dh_dbeta.h{layer}")), 1e-9);
        let moving: Layers = net.response(&free, &force, 0.5).iter().map(|c| planar(c, 2)).collect();
        let re = net.layers(|layer| format!("oracle.c1_wtau0.5.h{layer}.re"));
        let im = net.layers(|layer| format!("oracle.c1_wtau0.5.h{layer}.im"));
        let expected: Layers = re.into_iter().zip(im).map(|(re, im)| [re, im].concat()).collect();
        close(&moving, &expected, 1e-9);
    }
}

/// ∂C/∂θ = −d/dβ ∂Φ/∂θ along the response, against backpropagation through time.
#[test]
fn the_response_gives_the_gradient_of_backpropagation_through_time() {
    for mut net in tied() {
        let free = net.free();
        let force: Vec<C> = net.teaching(&free, 1).into_iter().map(|t| -t).collect();
        let response: Layers = net.response(&free, &force, 0.0).iter().map(|c| planar(c, 1)).collect();
        let mut gradients = Gradients::new();
        net.readout_gradient(&free, 1, 1.0, &mut gradients);
        let share = -1.0 / net.samples as f64;
        let scaled = |values: &[f64]| values.iter().map(|x| x * share).collect::<Vec<f64>>();
        for (layer, connection) in net.forward.iter().enumerate() {
            let (a, da) = match layer {
                0 => (net.x.clone(), vec![0.0; net.x.len()]),
                _ => (free[layer - 1].clone(), response[layer - 1].clone()),
            };
            let (z, dz) = (intermediate(connection, &a, 1), intermediate(connection, &da, 1));
            let (v, dv) = (scaled(&free[layer]), scaled(&response[layer]));
            let gradient = entry(
                &mut gradients,
                format!("W{}", layer + 1),
                connection.convolution().geometry().weights(),
            );
            let at = At {
                z: Rails::real(&z),
                dz: Rails::real(&dz),
                v: Some(Rails::real(&v)),
                dv: Some(Rails::real(&dv)),
            };
            connection.gradient_derivative_at(
                Rails::real(&a),
                Rails::real(&da),
                &at,
                gradient,
                &mut Scratch::default(),
            );
            net.bias_gradient(layer, &complex(&dv, 1), &mut gradients);
        }
        net.compare("bptt", &gradients, 1e-8);
    }
}

/// Paper 2: potentials, separate feedback kernels without bias, and parameter derivatives at the free state.
#[test]
fn separate_feedback_gives_the_authors_biased_gradients() {
    let mut net = Net::load("sep4_paper2", Method::Direct);
    let start: Layers = net.zeros(1).iter().map(|u| activate(u, 1)).collect();
    let mut scratch = Scratch::default();
    let mut h = start.clone();
    net.relax(&mut h, C::ZERO, 1, 4);
    close(&net.currents(&h, 1, &mut scratch), &net.layers(|layer| format!("state.t5.u{layer}")), 1e-12);
    net.relax(&mut h, C::ZERO, 1, STEPS);
    close(&h, &net.layers(|layer| format!("free.h{layer}")), 1e-9);
    let u = net.currents(&h, 1, &mut scratch);
    close(&u, &net.layers(|layer| format!("free.u{layer}")), 1e-9);

    // The authors' teaching raises the cost; the oracle's response is to one that lowers it.
    let force = net.teaching(&h, 1);
    let rates: Layers = net.response(&h, &force, 0.0).iter().map(|c| planar(c, 1)).collect();
    let opposite = rates.iter().map(|c| c.iter().map(|x| -x).collect()).collect();
    close(&opposite, &net.layers(|layer| format!("oracle.dh_dbeta.h{layer}")), 1e-9);
    let exact = net.field_gradient(&h, &rates);
    net.compare("hep_vf_exact_response", &exact, 1e-8);

    let nudged = [1.0, -1.0].map(|beta| {
        let mut nudged = h.clone();
        net.relax(&mut nudged, C::from(-beta), 1, STEPS);
        nudged
    });
    let half =
        |(plus, minus): (&Vec<f64>, &Vec<f64>)| plus.iter().zip(minus).map(|(p, m)| 0.5 * (p - m)).collect();
    let rates: Layers = nudged[0].iter().zip(&nudged[1]).map(half).collect();
    let two = net.field_gradient(&h, &rates);
    net.compare("hep_vf_N2_beta1.0", &two, 1e-8);
}

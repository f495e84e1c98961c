//! What disturbs a running substrate: noise and the read-out.

use super::*;

/// The pre-activation of layer b with and without noise, at one state of rates, over many samples.
fn kicks(spec: &Imperfections, rails: usize) -> (Vec<f64>, Vec<f64>, f64) {
    let (network, parameters) = uniform(0.1);
    let effective = Effective::new(&network, Form::Potential, &parameters);
    let count = 100;
    let targets = vec![0.3; 100 * count];
    let samples = Samples { inputs: vec![0.5; 2 * count], targets, count, first: 0 };
    let run = |noisy: bool| {
        let mut field = Dynamics::new(&effective, &samples, rails);
        field.teach(Teaching::constant(Complex::new(0.2, 0.1)));
        if noisy {
            let noise = Disturbances::new(&spec.instant().unwrap(), 1, 0, field.shape(), 2, 0);
            field.hold_noise(noise, &samples.inputs).unwrap();
        }
        field.begin_step(0);
        let shape = field.shape().clone();
        let mut state = vec![0.4; shape.len()];
        for layer in 0..2 {
            let split = shape.real(layer).end;
            state[split..shape.layer(layer).end].fill(0.2);
        }
        let mut out = vec![0.0; shape.len()];
        field.target(Time::at(0), &state, &mut out);
        (out[shape.layer(1)].to_vec(), field.rates()[shape.layer(1)][0])
    };
    let ((noisy, rate), (quiet, _)) = (run(true), run(false));
    let mut kicks: Vec<f64> = noisy.iter().zip(quiet).map(|(a, b)| a - b).collect();
    let imaginary = kicks.split_off(100 * count);
    (kicks, imaginary, rate)
}

#[test]
fn lumped_synapse_noise_has_the_law_of_independent_synapses() {
    let u = Complex::new(0.4_f64, 0.2);
    let a = u.tanh();
    for (rails, correlation) in [("equal", a.re * a.im / (a.re.abs() * a.im.abs())), ("independent", 0.0)] {
        let spec = imperfections(json!({ "synapse_noise": { "held": { "std": 0.03, "rails": rails } } }));
        let (re, im, _) = kicks(&spec, 2);
        // Layer b hears the 100 rates of layer a.
        let (re_std, im_std) = (0.3 * a.re, 0.3 * a.im);
        assert!(follows(re.iter().map(|x| x / re_std).collect(), normal), "{rails}");
        assert!(follows(im.iter().map(|x| x / im_std).collect(), normal), "{rails}");
        let cross = re.iter().zip(&im).map(|(a, b)| a * b).sum::<f64>() / 1e4 / (re_std * im_std);
        assert!((cross - correlation).abs() < 0.05, "{rails}: {cross}");
    }
}

#[test]
fn teaching_noise_moves_beta_and_nothing_else() {
    let spec =
        imperfections(json!({ "teaching_noise": { "held": { "std": 0.05, "rails": "independent" } } }));
    let (re, im, _) = kicks(&spec, 2);
    // kick = −ξ (a − y), one ξ for each sample.
    let error = Complex::new(0.4, 0.2).tanh() - 0.3;
    let xi: Vec<Complex<f64>> =
        re.iter().zip(&im).step_by(100).map(|(re, im)| -Complex::new(*re, *im) / error).collect();
    assert!(follows(xi.iter().map(|x| x.re / 0.05).collect(), normal));
    assert!(follows(xi.iter().map(|x| x.im / 0.05).collect(), normal));
    for (sample, xi) in xi.iter().enumerate() {
        for k in [7, 99] {
            let kick = Complex::new(re[100 * sample + k], im[100 * sample + k]);
            assert!((kick + xi * error).norm() < 1e-12);
        }
    }
}

#[test]
fn input_noise_passes_through_the_input_weights() {
    // Layer a receives 0.1 (ξ₁ + ξ₂), equal for all of its neurons; layer b nothing.
    let spec = imperfections(json!({ "input_noise": { "held": { "std": 0.5 } } }));
    let (network, parameters) = uniform(0.1);
    let effective = Effective::new(&network, Form::Potential, &parameters);
    let count = 2000;
    let samples = Samples { inputs: vec![0.5; 2 * count], targets: vec![0.0; 100 * count], count, first: 0 };
    let mut field = Dynamics::new(&effective, &samples, 1);
    let noise = Disturbances::new(&spec.instant().unwrap(), 1, 0, field.shape(), 2, 0);
    field.hold_noise(noise, &samples.inputs).unwrap();
    field.begin_step(0);
    let shape = field.shape().clone();
    let mut out = vec![0.0; shape.len()];
    field.target(Time::at(0), &vec![0.0; shape.len()], &mut out);
    let a: Vec<f64> = out[shape.layer(0)].iter().step_by(100).map(|x| x - 0.2).collect();
    assert!(follows(a.iter().map(|x| x / (0.05 * 2_f64.sqrt())).collect(), normal));
    assert!(out[shape.layer(1)].iter().all(|x| (*x - 0.1).abs() < 1e-15));
}

#[test]
fn a_phase_error_mixes_the_quadrature_into_the_gradient() {
    let problem = toy();
    let plain = driven(&problem, &imperfections(json!({})), &problem.samples);
    let phase: f64 = 0.3;
    let turned =
        driven(&problem, &imperfections(json!({ "readout": { "phase_error": phase } })), &problem.samples);
    let quadrature = plain.quadrature.unwrap();
    for index in 0..2 {
        let expected = plain.gradient.matrix(index) * phase.cos() + quadrature.matrix(index) * phase.sin();
        assert!((turned.gradient.matrix(index) - expected).amax() < 1e-10);
    }
}

#[test]
fn a_converter_rounds_what_the_lock_in_sees() {
    let problem = toy();
    let plain = driven(&problem, &imperfections(json!({})), &problem.samples);
    let adc = |bits: u32| {
        let spec = imperfections(json!({ "readout": { "adc": { "bits": bits, "range": [0.0, 1.0] } } }));
        driven(&problem, &spec, &problem.samples)
    };
    let exact = plain.gradient.matrix(1);
    let error = |bits| (adc(bits).gradient.matrix(1) - &exact).norm() / exact.norm();
    let (coarse, fine) = (error(6), error(16));
    println!("6 bits: {coarse:.2e}, 16 bits: {fine:.2e}");
    assert!(coarse > 1e-3 && fine < 1e-3 * coarse.max(0.1));
    // An offset shifts the believed rest by as much, and the response not at all.
    let offset = imperfections(json!({ "readout": { "offset_std": 0.1 } }));
    let shifted = driven(&problem, &offset, &problem.samples);
    let shifts: Vec<f64> = (&shifted.free[0] - &plain.free[0]).iter().copied().collect();
    assert!(shifts.iter().all(|s| *s != 0.0 && s.abs() < 0.5));
    assert!((&shifted.error_vector[0] - &plain.error_vector[0]).amax() < 1e-10);
}

//! Expressions against closed forms, derivatives against complex steps, and text that is none.

use approx::assert_relative_eq;
use num_complex::Complex;

use super::*;

const NAMES: [(&str, Meaning); 3] =
    [("z", Meaning::Variable(0)), ("w", Meaning::Variable(1)), ("k", Meaning::Number(0.2))];

fn parsed(text: &str) -> (Arena, Id) {
    let mut arena = Arena::default();
    let id = arena.parse(text, &NAMES).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    (arena, id)
}

/// The value at one pair of complex numbers.
fn at(arena: &Arena, id: Id, z: Complex<f64>, w: Complex<f64>) -> Complex<f64> {
    let tape = Tape::new(arena, &[id]);
    let (mut re, mut im) = ([0.0], [0.0]);
    let inputs = [Input::Each(&[z.re], &[z.im]), Input::Each(&[w.re], &[w.im])];
    tape.complex(&inputs, &mut [&mut re], &mut [&mut im]);
    Complex::new(re[0], im[0])
}

#[test]
fn expressions_mean_what_they_say() {
    let (z, w) = (Complex::new(0.7, 0.4), Complex::new(-1.3, 0.2));
    let one = Complex::new(1.0, 0.0);
    for (text, expected) in [
        ("1 + 2*3 - 4/2^2", Complex::new(6.0, 0.0)),
        ("-z^2", -z * z),
        ("2^-1", Complex::new(0.5, 0.0)),
        ("2^3^2", Complex::new(512.0, 0.0)),
        ("z**3", z * z * z),
        ("z - w - 1", z - w - 1.0),
        ("z/w/2", z / w / 2.0),
        ("--z + +w", z + w),
        ("z^0.5*z^0.5", z),
        ("z^1.7", z.powf(1.7)),
        ("(z + k)*(w - 1e-1)", (z + 0.2) * (w - 0.1)),
        ("1/(1 + exp(-4*z + 2))", (one + (-z * 4.0 + 2.0).exp()).inv()),
        ("logistic(z)", (one + (-z).exp()).inv()),
        ("softplus(z)", (one + z.exp()).ln()),
        ("tanh(z)*sinh(w) - cosh(z)", z.tanh() * w.sinh() - z.cosh()),
        ("sin(z)^2 + cos(z)^2", one),
        ("tan(z) - sin(z)/cos(z)", Complex::new(0.0, 0.0)),
        ("exp(ln(z)) + atan(w) + sqrt(z)", z + w.atan() + z.sqrt()),
        ("pi - 4*atan(1) + e - exp(1)", Complex::new(0.0, 0.0)),
    ] {
        let (arena, id) = parsed(text);
        assert!((at(&arena, id, z, w) - expected).norm() < 1e-13, "{text}");
        assert!(arena.is_holomorphic(id), "{text}");
    }
    for (text, x, expected) in [
        ("abs(z)", -2.0, 2.0),
        ("max(z, 1)", 0.5, 1.0),
        ("min(z, 1)", 0.5, 0.5),
        ("relu(z)", -1.0, 0.0),
        ("sign(z)", -3.0, -1.0),
        ("z > 1", 1.0, 0.0),
        ("z >= 1", 1.0, 1.0),
        ("z < 1", 1.0, 0.0),
        ("(z <= 1)*z", 0.5, 0.5),
        ("conj(z)", 0.5, 0.5),
    ] {
        let (arena, id) = parsed(text);
        assert_eq!(at(&arena, id, Complex::new(x, 0.0), w).re, expected, "{text}");
        assert!(!arena.is_holomorphic(id), "{text}");
    }
}

#[test]
fn derivatives_agree_with_steps_into_the_imaginary_direction() {
    for text in [
        "z^5 - 3*z*w + w^-2",
        "tanh(2*z)/(1 + w^2)",
        "z*logistic(z) + softplus(w*z)",
        "exp(-z^2)*sin(3*w) - cos(z/w)",
        "sqrt(1 + z^2) + ln(2 + w) + atan(z*w)",
        "sinh(z)*cosh(w) + tan(z)^3",
        "(1 + z)^w",
        "abs(z)*max(z, w) + relu(z - w)",
    ] {
        for (z, w) in [(0.3, 0.8), (-0.6, 0.4), (0.9, 1.7)] {
            for by in 0..2 {
                let (mut arena, id) = parsed(text);
                let derived = arena.derivative(id, by);
                let told = at(&arena, derived, z.into(), w.into()).re;
                let h = 1e-6;
                let value = |d: f64| {
                    let (z, w) = if by == 0 { (z + d, w) } else { (z, w + d) };
                    at(&arena, id, z.into(), w.into()).re
                };
                assert_relative_eq!(
                    told,
                    (value(h) - value(-h)) / (2.0 * h),
                    epsilon = 1e-8,
                    max_relative = 1e-8
                );
                if arena.is_holomorphic(id) {
                    let step = Complex::new(0.0, 1e-6);
                    let (z, w): (Complex<f64>, Complex<f64>) =
                        if by == 0 { (step + z, w.into()) } else { (z.into(), step + w) };
                    assert_relative_eq!(
                        told,
                        at(&arena, id, z, w).im / 1e-6,
                        max_relative = 1e-9,
                        epsilon = 1e-9
                    );
                }
            }
        }
    }
}

#[test]
fn batches_are_evaluated_as_single_elements_are_in_both_precisions() {
    let (mut arena, id) = parsed("tanh(z)*w - k*z^3/(2 + w)");
    let slope = arena.derivative(id, 0);
    let tape = Tape::new(&arena, &[id, slope]);
    let n = 1000;
    let z: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin()).collect();
    let y: Vec<f64> = (0..n).map(|i| 0.3 * (i as f64 * 0.11).cos()).collect();
    let column = [0.5, -0.25, 1.5];
    let mut out = vec![vec![0.0; n]; 4];
    let [a, b, c, d] = &mut out[..] else { unreachable!() };
    tape.complex(&[Input::Each(&z, &y), Input::Column(&column)], &mut [a, b], &mut [c, d]);
    let mut real = vec![vec![0.0; n]; 2];
    let [p, q] = &mut real[..] else { unreachable!() };
    tape.real(&[Input::Each(&z, &[]), Input::Column(&column)], &mut [p, q]);
    let single: Vec<f32> = z.iter().map(|x| *x as f32).collect();
    let mut rough = vec![0.0_f32; n];
    Tape::new(&arena, &[id]).real(&[Input::Each(&single, &[]), Input::Column(&column)], &mut [&mut rough]);
    for i in 0..n {
        let (one, w) = (Complex::new(z[i], y[i]), Complex::from(column[i % 3]));
        let whole = at(&arena, id, one, w);
        assert_eq!((out[0][i], out[2][i]), (whole.re, whole.im));
        assert_eq!((out[1][i], out[3][i]), {
            let s = at(&arena, slope, one, w);
            (s.re, s.im)
        });
        assert_relative_eq!(real[0][i], at(&arena, id, z[i].into(), w).re, epsilon = 1e-14);
        assert!((f64::from(rough[i]) - real[0][i]).abs() < 1e-5);
    }
}

#[test]
fn numbers_and_variables_read_in_place_give_the_bits_of_plain_arithmetic() {
    let z: Vec<f64> = (0..300).map(|i| (f64::from(i) - 149.0) / 7.0).collect();
    let y: Vec<f64> = (0..300).map(|i| (f64::from(i) * 0.3).sin()).collect();
    let column = [0.3, -1.7, 2.1];
    type F = fn(f64, f64, f64) -> (f64, f64);
    let cases: [(&str, F); 7] = [
        ("z*3", |x, y, _| (x * 3.0, y * 3.0)),
        ("0.7*z - 2.3", |x, y, _| (0.7 * x - 2.3, 0.7 * y)),
        ("2.3 - z*0.7", |x, y, _| (2.3 - x * 0.7, -(y * 0.7))),
        ("z/3 + 1", |x, y, _| (x / 3.0 + 1.0, y / 3.0)),
        ("(z + 1)*0.3", |x, y, _| ((x + 1.0) * 0.3, y * 0.3)),
        ("w*0.3 + 2 + z", |x, y, w| (w * 0.3 + 2.0 + x, y)),
        ("(w*3)/7 - z", |x, y, w| (w * 3.0 / 7.0 - x, -y)),
    ];
    for (text, expected) in cases {
        let (arena, id) = parsed(text);
        let [mut re, mut im] = [vec![0.0; z.len()], vec![0.0; z.len()]];
        let inputs = [Input::Each(&z, &y), Input::Column(&column)];
        Tape::new(&arena, &[id]).complex(&inputs, &mut [&mut re], &mut [&mut im]);
        for (i, (re, im)) in re.iter().zip(&im).enumerate() {
            assert_eq!((*re, *im), expected(z[i], y[i], column[i % 3]), "{text} at {i}");
        }
    }
}

#[test]
fn many_registers_are_no_trouble() {
    // A balanced sum needs as many registers as it is deep; numbers keep theirs.
    let terms: Vec<String> = (1..=60).map(|k| format!("{k}.5*z^{}", k % 7 + 1)).collect();
    let (arena, id) = parsed(&terms.join(" + "));
    let expected: f64 = (1..=60).map(|k| (f64::from(k) + 0.5) * 0.9_f64.powi(k % 7 + 1)).sum();
    assert_relative_eq!(at(&arena, id, 0.9.into(), 0.0.into()).re, expected, max_relative = 1e-13);
}

/// Text that is no expression, and where that is noticed.
#[test]
fn malformed_text_is_refused_at_its_place() {
    let deep = |open: &str, close: &str| format!("{}z{}", open.repeat(10_000), close.repeat(10_000));
    let long = "z+".repeat(500_000) + "z";
    let nested = "(".repeat(101) + "z" + &")".repeat(101);
    let signs = "-".repeat(300) + "z";
    let towers = "z^".repeat(200) + "z";
    for (text, character, found) in [
        ("", 1, "the end"),
        ("   ", 4, "the end"),
        ("z +", 4, "the end"),
        ("z + * 2", 5, "`*`"),
        ("(z", 3, "the end"),
        ("z)", 2, "`)`"),
        ("()", 2, "`)`"),
        ("z z", 3, "`z`"),
        ("2z", 2, "`z`"),
        ("1.2.3", 4, "0.3"),
        ("1e999", 1, "`1e999`"),
        (".", 1, "`.`"),
        ("z # 1", 3, "'#'"),
        ("z = 1", 3, "'='"),
        ("z & w", 3, "'&'"),
        ("\"z\"", 1, "'\"'"),
        ("ζ", 1, "'ζ'"),
        ("z + ψ", 5, "'ψ'"),
        ("foo(z)", 1, "`foo`"),
        ("x", 1, "`x`"),
        ("tanh", 5, "the end"),
        ("tanh z", 6, "`z`"),
        ("tanh()", 6, "`)`"),
        ("tanh(z, w)", 1, "2 arguments"),
        ("max(z)", 1, "1 arguments"),
        ("max(z, w, 1)", 1, "3 arguments"),
        ("tanh(z", 7, "the end"),
        ("z(w)", 2, "a bracket behind `z`"),
        ("z/0", 3, "a division by zero"),
        ("z/(1 - 1)", 3, "a division by zero"),
        ("z < w < 1", 7, "`<`"),
        ("z,w", 2, "`,`"),
        (&deep("(", ")"), 4097, "a text of 20001 characters"),
        (&deep("tanh(", ")"), 4097, "a text of 60001 characters"),
        (&long, 4097, "a text of 1000001 characters"),
        (&nested, 102, "a deeper level"),
        (&signs, 102, "a deeper level"),
        (&towers, 203, "a deeper level"),
    ] {
        let shown: String = text.chars().take(30).collect();
        let error = Arena::default().parse(text, &NAMES).expect_err(&shown);
        assert_eq!((error.character, error.found.as_str()), (character, found), "{shown}");
        assert!(!error.legal.is_empty());
    }
}

#[test]
fn random_text_never_panics() {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let words = [
        "z", "w", "k", "1", "2.5", "1e3", "+", "-", "*", "/", "^", "(", ")", ",", "tanh", "max", "ln", "<",
        ">=", " ", "é", "$", "sqrt", "abs", "e", ".",
    ];
    let mut legal = 0;
    for _ in 0..20_000 {
        let length = random.random_range(1..14);
        let text: String = (0..length).map(|_| words[random.random_range(0..words.len())]).collect();
        let mut arena = Arena::default();
        if let Ok(id) = arena.parse(&text, &NAMES) {
            legal += 1;
            let slope = arena.derivative(id, 0);
            let _ = at(&arena, slope, Complex::new(0.3, 0.1), Complex::new(1.0, -0.2));
        }
    }
    assert!(legal > 300, "{legal}");
}

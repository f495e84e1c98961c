//! What the tests of convolution with pooling do not reach.

use super::{Lanes, Pass, Pool, Pooling, Window};
use crate::numerics::convolution::geometry::{Misfit, Shape};
use crate::numerics::rails::{Rails, RailsMut};

fn softmax(size: usize, stride: usize) -> Pooling {
    Pooling::Softmax { window: Window { size, stride }, temperature: 1.0 }
}

#[test]
fn odd_rows_and_columns_are_dropped() {
    let pool = |size, stride| Pool::new(softmax(size, stride), Shape::new(7, 5, 3)).unwrap().output();
    assert_eq!(pool(2, 2), Shape::new(3, 2, 3));
    assert_eq!(pool(3, 2), Shape::new(3, 2, 3));
    assert_eq!(pool(1, 3), Shape::new(3, 2, 3));
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let of = |size, stride| Pool::new(softmax(size, stride), Shape::new(2, 4, 3));
    assert_eq!(of(0, 1), Err(Misfit::Zero("the pooling's size")));
    assert_eq!(of(2, 0), Err(Misfit::Zero("the pooling's stride")));
    let refused = of(3, 1).unwrap_err().to_string();
    assert_eq!(refused, "a pooling window of [3, 3] does not fit into [2, 4] (height, width)");
}

/// Large potentials saturate: the greatest wins, in both precisions, whatever the others.
#[test]
fn large_potentials_do_not_overflow() {
    let pool = Pool::new(softmax(2, 2), Shape::new(2, 2, 1)).unwrap();
    let z = [3000.0_f32, -3000.0, 2000.0, 0.0];
    let (mut up, mut down) = ([0.0], [1.0; 4]);
    let v = [2.0];
    let pass = Pass {
        z: Rails::real(&z),
        dz: None,
        v: Some(Rails::real(&v)),
        dv: None,
        up: Some(RailsMut::real(&mut up)),
        down: Some(RailsMut::real(&mut down)),
    };
    pool.run(pass, &mut Lanes::default());
    assert_eq!((up, down), ([3000.0], [2.0, 0.0, 0.0, 0.0]));
}

/// A diverged potential is never repaired.
#[test]
fn what_is_not_finite_stays_so() {
    let window = Window { size: 2, stride: 2 };
    for pooling in [softmax(2, 2), Pooling::Average(window), Pooling::Max(window)] {
        for bad in [f64::NAN, f64::INFINITY] {
            for place in 0..4 {
                let mut z = [0.5, 1.0, -0.5, 0.0];
                z[place] = bad;
                let mut up = [0.0];
                let pool = Pool::new(pooling, Shape::new(2, 2, 1)).unwrap();
                let up_rails = Some(RailsMut::real(&mut up[..]));
                let pass = Pass { z: Rails::real(&z), dz: None, v: None, dv: None, up: up_rails, down: None };
                pool.run(pass, &mut Lanes::default());
                assert!(!up[0].is_finite(), "{pooling:?} {bad} at {place}: {}", up[0]);
            }
        }
    }
}

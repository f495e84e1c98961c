// Elementary functions of real and complex numbers. A shader's own exp, log, sin and cos may be wrong in the fourth digit; these are as
// good as those of the processor. Arguments are reduced by constants of few digits, so that nothing depends on a fused multiply-add.

fn by_power(scale: f32) -> f32 {
    return bitcast<f32>(u32(i32(scale) + 127) << 23u);
}

// exp(-a) and 1 - exp(-a) for a >= 0; zero where exp is subnormal.
fn decay2(a: f32) -> vec2<f32> {
    let x = -min(a, 87.0);
    let k = round(x * 1.44269504);
    let r = fma(-k, -2.12194440e-4, fma(-k, 0.693359375, x));
    let p = fma(r, fma(r, fma(r, fma(r, 0.0013882961, 0.008366517), 0.041667194), 0.16666544), 0.49999998);
    let rest = fma(r * r, p, r);
    let scale = by_power(k);
    if (a > 87.0) {
        return vec2<f32>(0.0, 1.0);
    }
    return vec2<f32>(fma(scale, rest, scale), fma(-scale, rest, 1.0 - scale));
}

fn decay(a: f32) -> f32 {
    return decay2(a).x;
}

fn sin_half_turn(r: f32) -> f32 {
    let q = r * r;
    return fma(r * q, fma(q, fma(q, fma(q, 2.6057715e-6, -0.000198096), 0.008333066), -0.1666666), r);
}

fn cos_half_turn(r: f32) -> f32 {
    let q = r * r;
    let p = fma(q, fma(q, fma(q, -2.6193697e-7, 2.4769299e-5), -0.001388857), 0.041666656);
    return fma(q, fma(q, p, -0.5), 1.0);
}

// modulus exp(iy). Beyond all reason of y the result is: no phase is left.
fn polar(modulus: f32, y: f32) -> vec2<f32> {
    if (abs(y) > 1048576.0) {
        return vec2<f32>(1e30, 1e30);
    }
    let k = round(y * 0.318309886);
    let r = fma(-k, 1.50995799e-7, fma(-k, 9.67502594e-4, fma(-k, 3.140625, y)));
    let signed = select(modulus, -modulus, (i32(k) & 1) == 1);
    return vec2<f32>(signed * cos_half_turn(r), signed * sin_half_turn(r));
}

// ln y of a positive normal number.
fn ln(y: f32) -> f32 {
    let bits = bitcast<u32>(y);
    let k = (bitcast<i32>(bits) - 0x3f3504f3) >> 23u;
    let m = bitcast<f32>(bits - (u32(k) << 23u));
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let q = s * s;
    let near = fma(s, q * fma(q, fma(q, 0.2987229, 0.3997753), 0.66666776) - f, f);
    let e = f32(k);
    return fma(e, 0.693359375, fma(e, -2.12194440e-4, near));
}

fn ln_1p(u: f32) -> f32 {
    let y = 1.0 + u;
    let lost = u - (y - 1.0);
    return ln(max(y, 1e-37)) + lost / y;
}

// The angle of (x, y) for x >= 0.
fn angle(y: f32, x: f32) -> f32 {
    let a = abs(y);
    let steep = a > x;
    let low = select(a, x, steep);
    let high = select(x, a, steep);
    let far = low > high * 0.41421357;
    let top = select(low, low - high, far);
    let bottom = select(high, low + high, far);
    let v = top / max(bottom, 1e-37);
    let q = v * v;
    let p = fma(q, fma(q, fma(q, fma(q, -0.060760464, 0.10593023), -0.14243437), 0.19998467), -0.33333315);
    let near = fma(v * q, p, v);
    let octant = select(near, near + 0.785398163, far);
    let whole = select(octant, 1.57079633 - octant, steep);
    return select(whole, -whole, y < 0.0);
}

fn mul(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn inverse(a: vec2<f32>) -> vec2<f32> {
    let d = 1.0 / fma(a.x, a.x, a.y * a.y);
    return vec2<f32>(a.x * d, -a.y * d);
}

// exp(z) where the real part is not positive.
fn exp_decaying(z: vec2<f32>) -> vec2<f32> {
    return polar(decay(-z.x), z.y);
}

fn logistic(z: vec2<f32>) -> vec2<f32> {
    let t = decay(abs(z.x));
    let c = polar(t, z.y);
    let p = 1.0 + c.x;
    let d = 1.0 / fma(p, p, c.y * c.y);
    let numerator = select(p, fma(t, t, c.x), z.x < 0.0);
    return vec2<f32>(numerator * d, c.y * d);
}

fn logistic_real(x: f32) -> f32 {
    let t = decay(abs(x));
    return select(1.0, t, x < 0.0) / (1.0 + t);
}

fn logistic_slope_real(x: f32) -> f32 {
    let t = decay(abs(x));
    let d = 1.0 / (1.0 + t);
    return t * d * d;
}

fn tanh_complex(z: vec2<f32>) -> vec2<f32> {
    let both = decay2(abs(z.x + z.x));
    let t = both.x;
    let c = polar(t, z.y + z.y);
    let p = 1.0 + c.x;
    let d = 1.0 / fma(p, p, c.y * c.y);
    let re = both.y * (1.0 + t) * d;
    return vec2<f32>(select(re, -re, z.x < 0.0), (c.y + c.y) * d);
}

fn tanh_real(x: f32) -> f32 {
    let both = decay2(abs(x + x));
    let y = both.y / (1.0 + both.x);
    return select(y, -y, x < 0.0);
}

fn softplus(z: vec2<f32>) -> vec2<f32> {
    let t = decay(abs(z.x));
    let c = polar(t, z.y);
    let modulus = 0.5 * ln_1p(fma(t, t, c.x + c.x));
    let phase = angle(c.y, 1.0 + c.x);
    if (z.x > 0.0) {
        return vec2<f32>(z.x + modulus, z.y - phase);
    }
    return vec2<f32>(modulus, phase);
}

fn softplus_real(x: f32) -> f32 {
    return max(x, 0.0) + ln_1p(decay(abs(x)));
}

fn dsilu(z: vec2<f32>) -> vec2<f32> {
    let c = polar(decay(abs(z.x)), z.y);
    let negative = z.x < 0.0;
    let rho = vec2<f32>(c.x, select(-c.y, c.y, negative));
    let m = select(7.389056, 0.13533528, negative);
    let a = rho * m + vec2<f32>(1.0, 0.0);
    let b = rho + vec2<f32>(1.0, 0.0);
    let shifted = select(b, mul(rho, b) * m, negative);
    return mul(mul(z, rho) * (0.5 * abs(m - 1.0)) + shifted, inverse(mul(a, b)));
}

fn dsilu_real(x: f32) -> f32 {
    let rho = decay(abs(x));
    let m = select(7.389056, 0.13533528, x < 0.0);
    let a = fma(rho, m, 1.0);
    let b = rho + 1.0;
    let shifted = select(b, rho * b * m, x < 0.0);
    return fma(x * rho, 0.5 * abs(m - 1.0), shifted) / (a * b);
}

fn dsilu_slope_real(x: f32) -> f32 {
    let rho = decay(abs(x));
    let m = select(7.389056, 0.13533528, x < 0.0);
    let a = fma(rho, m, 1.0);
    let b = rho + 1.0;
    let half_gap = 0.5 * (1.0 - m);
    let ab = a * b;
    let curvature = fma(-rho * m, rho, 1.0);
    let sum = fma(ab, abs(half_gap), b * b * m);
    return fma(rho, sum, x * rho * half_gap * curvature) / (ab * ab);
}

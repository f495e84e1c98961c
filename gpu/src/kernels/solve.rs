//! The texts of what solving takes: products of states, steps of GMRES and of Anderson acceleration.

use std::fmt::Write as _;

use super::{INDEX, Plan, bound, declarations, each, locate, number};

/// The places of a sample's numbers: `visit` does something with each pair of places, real and imaginary (the same where there is one rail).
fn visit(plan: &Plan, rails: usize, step: &str) -> String {
    let mut text = String::new();
    for (layer, offset) in plan.layers.iter().zip(plan.offsets()) {
        let size = layer.size;
        let _ = write!(
            text,
            "    for (var n = own; n < {size}u; n += 256u) {{\n        let re = {offset}u * dims.cols + sample * {size}u + n;\n"
        );
        if rails == 2 {
            let _ = writeln!(text, "        let im = re + {size}u * dims.batch;");
        }
        text.push_str(step);
        text.push_str("    }\n");
    }
    text
}

/// ⟨a, b⟩ = Σ conj(a) b of each sample, a group for each: it becomes `product`, and is added to `column`. Buffers: dims, a, b, product,
/// column.
pub(crate) fn dot(plan: &Plan, rails: usize) -> String {
    let step = if rails == 1 {
        "        sum.x = fma(a[re], b[re], sum.x);\n"
    } else {
        "        sum.x += fma(a[re], b[re], a[im] * b[im]);\n        sum.y += fma(a[re], b[im], -(a[im] * b[re]));\n"
    };
    let mut text = declarations(&["a", "b", "product!", "column!"]);
    let _ = write!(
        text,
        "var<workgroup> parts: array<vec2<f32>, 256>;\n@compute @workgroup_size(256)\nfn main({INDEX}) {{\n    \
         let sample = group.x + 0u * groups.x;\n    var sum = vec2<f32>(0.0);\n{}    parts[own] = sum;\n    workgroupBarrier();\n    \
         for (var half = 128u; half > 0u; half /= 2u) {{\n        if (own < half) {{ parts[own] += parts[own + half]; }}\n        workgroupBarrier();\n    }}\n    \
         if (own == 0u) {{\n        product[2u * sample] = parts[0].x;\n        product[2u * sample + 1u] = parts[0].y;\n        \
         column[2u * sample] += parts[0].x;\n        column[2u * sample + 1u] += parts[0].y;\n    }}\n}}\n",
        visit(plan, rails, step)
    );
    text
}

/// b −= product · a, with a complex number for each sample. Buffers: dims, product, a, b.
pub(crate) fn subtract(plan: &Plan, rails: usize) -> String {
    let mut body = bound(plan);
    body += if rails == 1 {
        "    b[p.at] -= product[2u * p.sample] * a[p.at];"
    } else {
        "    let f = vec2<f32>(product[2u * p.sample], product[2u * p.sample + 1u]);\n    let im = p.at + p.span;\n    \
         let x = a[p.at];\n    let y = a[im];\n    b[p.at] -= f.x * x - f.y * y;\n    b[im] -= f.x * y + f.y * x;"
    };
    each(&["product", "a", "b!"], &locate(plan), &body)
}

/// Each sample is divided by the root of its number; by nothing where that is none. Buffers: dims, square, b.
pub(crate) fn normalise(plan: &Plan, rails: usize) -> String {
    let mut body = bound(plan)
        + "    let square = square_of[2u * p.sample];\n    \
           let factor = select(0.0, 1.0 / sqrt(square), square > 1e-36);\n    b[p.at] *= factor;\n";
    if rails == 2 {
        body += "    b[p.at + p.span] *= factor;\n";
    }
    each(&["square_of", "b!"], &locate(plan), &body)
}

/// out = v − product + i·rate·τ v, with τ of each neuron times the rate. Buffers: dims, turn, v, out.
pub(crate) fn resolve(plan: &Plan, rails: usize) -> String {
    let mut body = bound(plan);
    body += if rails == 1 {
        "    out[p.at] = v[p.at] - out[p.at] + 0.0 * turn[p.neuron];"
    } else {
        "    let im = p.at + p.span;\n    let t = turn[p.neuron];\n    let re_part = v[p.at] - out[p.at] - t * v[im];\n    \
         out[im] = v[im] - out[im] + t * v[p.at];\n    out[p.at] = re_part;"
    };
    each(&["turn", "v", "out!"], &locate(plan), &body)
}

/// to = from − to, whole states. Buffers: dims, from, to.
pub(crate) fn take_from(plan: &Plan) -> String {
    let body = format!("    if (e < {}u * dims.cols) {{ dest[e] = src[e] - dest[e]; }}", plan.neurons());
    each(&["src", "dest!"], "", &body)
}

/// Σ a b over both rails of each sample, a group for each, as an unevaluated sum of two numbers: to twice single precision (Ogita, Rump and
/// Oishi 2005). Buffers: dims, a, b, overlap.
pub(crate) fn overlap(plan: &Plan, rails: usize) -> String {
    let mut step = String::from("        sum = with_product(sum, a[re], b[re]);\n");
    if rails == 2 {
        step.push_str("        sum = with_product(sum, a[im], b[im]);\n");
    }
    let mut text = declarations(&["a", "b", "overlap!"]);
    let _ = write!(
        text,
        "fn with_sum(s: vec2<f32>, x: f32, low: f32) -> vec2<f32> {{\n    let t = s.x + x;\n    let z = t - s.x;\n    \
         let e = (s.x - (t - z)) + (x - z);\n    return vec2<f32>(t, s.y + (e + low));\n}}\n\
         fn with_product(s: vec2<f32>, x: f32, y: f32) -> vec2<f32> {{\n    let p = x * y;\n    return with_sum(s, p, fma(x, y, -p));\n}}\n\
         var<workgroup> parts: array<vec2<f32>, 256>;\n@compute @workgroup_size(256)\nfn main({INDEX}) {{\n    \
         let sample = group.x + 0u * groups.x;\n    var sum = vec2<f32>(0.0);\n{}    parts[own] = sum;\n    workgroupBarrier();\n    \
         for (var half = 128u; half > 0u; half /= 2u) {{\n        \
         if (own < half) {{ parts[own] = with_sum(parts[own], parts[own + half].x, parts[own + half].y); }}\n        workgroupBarrier();\n    }}\n    \
         if (own == 0u) {{\n        overlap[2u * sample] = parts[0].x;\n        overlap[2u * sample + 1u] = parts[0].y;\n    }}\n}}\n",
        visit(plan, rails, &step)
    );
    text
}

/// What an iteration has changed: df = (goal − x) − last f, step = x − last x + m df. Buffers: dims, goal, x, last f, last x, step, df.
pub(crate) fn change(plan: &Plan, mixing: f32) -> String {
    let body = format!(
        "    if (e >= {}u * dims.cols) {{ return; }}\n    let f = goal[e] - x[e];\n    let d = f - last_f[e];\n    df[e] = d;\n    \
         step[e] = x[e] - last_x[e] + {} * d;",
        plan.neurons(),
        number(mixing)
    );
    each(&["goal", "x", "last_f", "last_x", "step!", "df!"], "", &body)
}

/// x += m f for samples that go on, and what was before is remembered, with f = goal − x. Buffers: dims, goal, going, last f, last x, x.
pub(crate) fn mix(plan: &Plan, rails: usize) -> String {
    let one = |at: &str| {
        format!(
            "    last_f[{at}] = goal[{at}] - x[{at}];\n    last_x[{at}] = x[{at}];\n    x[{at}] += m * last_f[{at}];\n"
        )
    };
    let mut body = bound(plan) + "    let m = going[2u * p.sample];\n" + &one("p.at");
    if rails == 2 {
        body += &one("(p.at + p.span)");
    }
    each(&["goal", "going", "last_f!", "last_x!", "x!"], &locate(plan), &body)
}

/// f = goal − x, whole states. Buffers: dims, goal, x, f.
pub(crate) fn force(plan: &Plan) -> String {
    let body = format!("    if (e < {}u * dims.cols) {{ f[e] = goal[e] - x[e]; }}", plan.neurons());
    each(&["goal", "x", "f!"], "", &body)
}

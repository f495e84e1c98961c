//! The texts of the kernels: the network's numbers stand in them as constants, so that each is compiled for it.

use std::fmt::Write as _;

use crate::plan::{Activation, Interaction, Plan, Pooling};

mod solve;

pub(crate) use solve::{change, dot, force, mix, normalise, overlap, resolve, subtract, take_from};

const MATH: &str = include_str!("shaders/math.wgsl");
const PHILOX: &str = include_str!("shaders/philox.wgsl");
const PRODUCT: &str = include_str!("shaders/product.wgsl");
const POOL: &str = include_str!("shaders/pool.wgsl");
const POOL_UP: &str = include_str!("shaders/pool_up.wgsl");
const POOL_DOWN: &str = include_str!("shaders/pool_down.wgsl");

/// Words of the schedule for each tick: β, the tick's two halves, and the weight of each accumulator.
pub(crate) const BEAT: usize = 4 + 2 * ACCUMULATORS;
/// Accumulators of a run, at most.
pub const ACCUMULATORS: usize = 32;

/// What is the same in all threads: samples, columns, the first sample's place and a key of random numbers.
const DIMS: &str = "struct Dims { batch: u32, cols: u32, first: u32, key0: u32, key1: u32, spare0: u32, spare1: u32, spare2: u32 }\n";

const INDEX: &str = "@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, \
     @builtin(local_invocation_index) own: u32";

/// A kernel with a thread for each index `e`.
fn each(bindings: &[&str], helpers: &str, body: &str) -> String {
    let mut text = declarations(bindings);
    let _ = write!(
        text,
        "{helpers}\n@compute @workgroup_size(256)\nfn main({INDEX}) {{\n    \
         let e = (group.y * groups.x + group.x) * 256u + own;\n{body}\n}}\n"
    );
    text
}

/// Bindings in order, after the dimensions; one that ends in `!` is written to, one of words ends in `#`.
fn declarations(bindings: &[&str]) -> String {
    let mut text = String::from(DIMS);
    text.push_str("@group(0) @binding(0) var<uniform> dims: Dims;\n");
    for (place, name) in (1..).zip(bindings) {
        let access = if name.contains('!') { "read_write" } else { "read" };
        let kind = match name {
            name if name.contains('@') => "atomic<u32>",
            name if name.contains('#') => "u32",
            _ => "f32",
        };
        let name = name.trim_end_matches(['!', '#', '@']);
        let _ = writeln!(text, "@group(0) @binding({place}) var<storage, {access}> {name}: array<{kind}>;");
    }
    text
}

/// Where number `e` of a state's real rail lies: `at` in a state of these columns, `span` behind it its imaginary part, `real` in a real
/// state and `complex` in a complex one; its neuron, layer and sample.
fn locate(plan: &Plan) -> String {
    let mut text = String::from(
        "struct Place { at: u32, span: u32, real: u32, complex: u32, neuron: u32, layer: u32, sample: u32 }\n\
         fn locate(e: u32) -> Place {\n    let b = dims.batch;\n",
    );
    let layers = plan.layers.iter().zip(plan.offsets()).enumerate();
    for (index, (layer, offset)) in layers {
        let size = layer.size;
        let _ = writeln!(
            text,
            "    if (e < {end}u * b) {{ let i = e - {offset}u * b; \
             return Place({offset}u * dims.cols + i, {size}u * b, e, {offset}u * 2u * b + i, {offset}u + i % {size}u, {index}u, i / {size}u); }}",
            end = offset + size
        );
    }
    text.push_str("    return Place(0u, 0u, 0u, 0u, 0u, 0u, 0u);\n}\n");
    text
}

/// The number of elements of a real state.
fn bound(plan: &Plan) -> String {
    format!("    if (e >= {}u * dims.batch) {{ return; }}\n    let p = locate(e);\n", plan.neurons())
}

fn number(x: f32) -> String {
    format!("{x:e}f").replace("inff", "3e38f")
}

/// `apply` of a potential, by layer.
fn activation(plan: &Plan, rails: usize) -> String {
    let (kind, zero) = if rails == 1 { ("f32", "z") } else { ("vec2<f32>", "z") };
    let mut text = format!("fn apply(layer: u32, z: {kind}) -> {kind} {{\n    switch layer {{\n");
    for (index, layer) in plan.layers.iter().enumerate() {
        let real = rails == 1;
        let value = match layer.activation {
            Activation::Logistic { slope, offset } if real => {
                format!("logistic_real(fma({}, z, {}))", number(slope), number(offset))
            }
            Activation::Logistic { slope, offset } => {
                format!("logistic({} * z + vec2<f32>({}, 0.0))", number(slope), number(offset))
            }
            Activation::Tanh if real => "tanh_real(z)".into(),
            Activation::Tanh => "tanh_complex(z)".into(),
            Activation::Dsilu if real => "dsilu_real(z)".into(),
            Activation::Dsilu => "dsilu(z)".into(),
            Activation::Softplus if real => "softplus_real(z)".into(),
            Activation::Softplus => "softplus(z)".into(),
            Activation::Identity => "z".into(),
            Activation::HardTanh => format!("clamp(z, {kind}(-1.0), {kind}(1.0))"),
            Activation::HardDsilu => format!("clamp(0.5 * z, {kind}(0.0), {kind}(1.0))"),
            Activation::Relu => format!("max(z, {kind}(0.0))"),
        };
        let _ = writeln!(text, "        case {index}u: {{ return {value}; }}");
    }
    let _ = writeln!(text, "        default: {{ return {zero}; }}\n    }}\n}}");
    text
}

/// rates = ρ(potentials). Buffers: dims, potentials, rates.
pub(crate) fn activate(plan: &Plan, rails: usize) -> String {
    let body = if rails == 1 {
        "    rates[p.at] = apply(p.layer, u[p.at]);"
    } else {
        "    let z = apply(p.layer, vec2<f32>(u[p.at], u[p.at + p.span]));\n    rates[p.at] = z.x;\n    rates[p.at + p.span] = z.y;"
    };
    let helpers = format!("{MATH}{}{}", locate(plan), activation(plan, rails));
    each(&["u", "rates!"], &helpers, &(bound(plan) + body))
}

/// to = from, whole states. Buffers: dims, from, to.
pub(crate) fn copy(plan: &Plan) -> String {
    let body = format!("    if (e < {}u * dims.cols) {{ dest[e] = src[e]; }}", plan.neurons());
    each(&["src", "dest!"], "", &body)
}

/// to += from, whole states. Buffers: dims, from, to.
pub(crate) fn add(plan: &Plan) -> String {
    let body = format!("    if (e < {}u * dims.cols) {{ dest[e] += src[e]; }}", plan.neurons());
    each(&["src", "dest!"], "", &body)
}

/// out = slope · v on each rail, with a real state of slopes. Buffers: dims, slope, v, out.
pub(crate) fn scale(plan: &Plan, rails: usize) -> String {
    let mut body = bound(plan) + "    dest[p.at] = slope[p.real] * v[p.at];\n";
    if rails == 2 {
        body.push_str("    dest[p.at + p.span] = slope[p.real] * v[p.at + p.span];\n");
    }
    each(&["slope", "v", "dest!"], &locate(plan), &body)
}

/// One product of a convolution, forward or back. Buffers: dims, source, weights, result. Source and result begin at so many numbers times
/// the columns.
pub(crate) fn product(
    of: &Interaction,
    forward: bool,
    (source, result): (usize, usize),
    adds: bool,
) -> String {
    let [in_y, in_x, below] = of.input;
    let [out_y, out_x, above] = of.output;
    let (rows, channels, width) =
        if forward { (out_y * out_x, below, above) } else { (in_y * in_x, above, below) };
    let terms = of.kernel[0] * of.kernel[1] * channels;
    let mut text = String::from(DIMS);
    let constants = [
        ("ROWS", rows),
        ("CHANNELS", channels),
        ("WIDTH", width),
        ("TERMS", terms),
        ("KERNEL_X", of.kernel[1]),
        ("STRIDE", of.stride),
        ("IN_Y", in_y),
        ("IN_X", in_x),
        ("OUT_Y", out_y),
        ("OUT_X", out_x),
        ("SOURCE", source),
        ("RESULT", result),
    ];
    for (name, value) in constants {
        let _ = writeln!(text, "const {name} = {value}u;");
    }
    let [y, x] = of.before;
    let _ = writeln!(text, "const BEFORE_Y = {y}i;\nconst BEFORE_X = {x}i;");
    let _ = writeln!(text, "const FORWARD = {forward};\nconst ADDS = {adds};");
    text + PRODUCT
}

/// What a pooling does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// P(z) is added above. Buffers: dims, z, above.
    Up,
    /// The slope current of v becomes what is below. Buffers: dims, z, v, below.
    Down,
    /// ∂P/∂z d is added above, at a real z. Buffers: dims, z, d, above.
    UpAlong,
    /// The derivative of the slope current along d, and along that of v where it is taught, at a real z and v, becomes what is below.
    /// Buffers: dims, z, d, v, dv, below.
    DownAlong,
}

/// One pass of a pooling over images. `complex` where z is; `single` where z has but one real column for each sample, whatever the columns.
/// Images above begin at so many numbers times their columns.
pub(crate) fn pool(of: &Interaction, pass: Pass, complex: bool, single: bool, above: usize) -> String {
    let window = of.window().expect("a pooling");
    let (average, cold) = match of.pooling {
        Pooling::Softmax { temperature, .. } => (false, 1.0 / temperature),
        _ => (true, 1.0),
    };
    let bindings: &[&str] = match pass {
        Pass::Up if average => &["z", "dest!"],
        Pass::Up => &["z", "dest!"],
        Pass::Down if average => &["v", "dest!"],
        Pass::Down => &["z", "v", "dest!"],
        Pass::UpAlong => &["z", "d", "dest!"],
        Pass::DownAlong => &["z", "d", "v", "dv", "dest!"],
    };
    let mut text = declarations(bindings);
    let [p_y, p_x] = of.pooled();
    let [z_y, z_x, channels] = of.output;
    let constants = [
        ("SPAN", window.size),
        ("HOP", window.stride),
        ("Z_Y", z_y),
        ("Z_X", z_x),
        ("P_Y", p_y),
        ("P_X", p_x),
        ("CHANNELS", channels),
        ("ABOVE", above),
    ];
    for (name, value) in constants {
        let _ = writeln!(text, "const {name} = {value}u;");
    }
    let _ = writeln!(text, "const AVERAGE = {average};\nconst COLD = {};", number(cold));
    text.push_str(MATH);
    text.push_str(if complex {
        "alias N = vec2<f32>;\n\
         fn from_real(x: f32) -> N { return vec2<f32>(x, 0.0); }\n\
         fn re(x: N) -> f32 { return x.x; }\n\
         fn times(a: N, b: N) -> N { return mul(a, b); }\n\
         fn exp_of(a: N) -> N { return exp_decaying(a); }\n\
         fn inverse_of(a: N) -> N { return inverse(a); }\n"
    } else {
        "alias N = f32;\n\
         fn from_real(x: f32) -> N { return x; }\n\
         fn re(x: N) -> f32 { return x; }\n\
         fn times(a: N, b: N) -> N { return a * b; }\n\
         fn exp_of(a: N) -> N { return decay(-a); }\n\
         fn inverse_of(a: N) -> N { return 1.0 / a; }\n"
    });
    // Reads and writes, with the imaginary parts a rail behind.
    let read = |name: &str, from: &str, at: &str, span: &str| {
        if complex {
            format!(
                "fn {name}(i: u32) -> N {{ return vec2<f32>({from}[{at} + i], {from}[{at} + i + {span}]); }}\n"
            )
        } else {
            format!("fn {name}(i: u32) -> N {{ return {from}[{at} + i]; }}\n")
        }
    };
    let below = "(Z_Y * Z_X * CHANNELS * dims.batch)";
    let over = "(P_Y * P_X * CHANNELS * dims.batch)";
    let start = "ABOVE * dims.cols";
    if bindings.contains(&"z") {
        text += &read("z_at", "z", "0u", below);
    } else {
        // The mean needs none.
        text += "fn z_at(i: u32) -> N { return from_real(0.0); }\n";
    }
    if bindings.contains(&"d") {
        text += &read("d_at", "d", "0u", below);
    }
    match pass {
        Pass::Down => text += &read("v_at", "v", start, over),
        // Rates: a real state, whatever the columns.
        Pass::DownAlong => {
            text += "fn v_at(i: u32) -> N { return v[ABOVE * dims.batch + i]; }\n";
            text += &read("dv_at", "dv", start, over);
        }
        _ => {}
    }
    if complex {
        let _ = write!(
            text,
            "fn add_up(at: u32, x: N) {{ dest[at] += x.x; dest[at + {over}] += x.y; }}\n\
             fn put_down(at: u32, x: N) {{ dest[at] = x.x; dest[at + {below}] = x.y; }}\n"
        );
    } else {
        text += "fn add_up(at: u32, x: N) { dest[at] += x; }\nfn put_down(at: u32, x: N) { dest[at] = x; }\n";
    }
    let (columns, z_column) = match (complex, single) {
        (true, _) => ("dims.batch", "column"),
        (false, false) => ("dims.cols", "column"),
        (false, true) => ("dims.cols", "(column % dims.batch)"),
    };
    let up = match pass {
        Pass::UpAlong => {
            "    var sum = from_real(0.0);\n    for (var j = 0u; j < SPAN * SPAN; j++) {\n        \
             let x = (z_at(member(Z_COLUMN, wy, wx, j, channel)) - from_real(window.greatest)) * COLD;\n        \
             let p = times(exp_of(x), window.scale);\n        \
             sum += times(p + times(p, x - window.mean), d_at(member(column, wy, wx, j, channel)));\n    }\n    \
             add_up(at, sum);"
        }
        _ => "    add_up(at, window.mean * (1.0 / COLD) + from_real(window.greatest));",
    };
    let down = match pass {
        Pass::DownAlong => {
            "var first = from_real(0.0);\n            var second = from_real(0.0);\n            \
             for (var j = 0u; j < SPAN * SPAN; j++) {\n                \
             let x = (z_at(member(Z_COLUMN, wy, wx, j, channel)) - from_real(window.greatest)) * COLD;\n                \
             let weighted = times(times(exp_of(x), window.scale), d_at(member(column, wy, wx, j, channel)));\n                \
             first += weighted;\n                second += times(weighted, x - window.mean);\n            }\n            \
             let slope = q + from_real(1.0);\n            \
             let bend = times(slope + from_real(1.0), d_at((column * Z_Y * Z_X + y * Z_X + x) * CHANNELS + channel) - first) - second;\n            \
             let rate = v_at(((Z_COLUMN * P_Y + wy) * P_X + wx) * CHANNELS + channel);\n            \
             sum += times(p, times(bend, rate * COLD) + times(slope, dv_at(above)));"
        }
        _ => "sum += times(p + times(p, q), v_at(above));",
    };
    let body = match pass {
        Pass::Up | Pass::UpAlong => POOL_UP.replace("UP", up),
        Pass::Down | Pass::DownAlong => POOL_DOWN.replace("DOWN", down),
    };
    (text + &POOL.replace("BODY", &body)).replace("Z_COLUMN", z_column).replace("COLUMNS", columns)
}

/// The bias on the real rail of the read-out's sums. Buffers: dims, bias, sums.
pub(crate) fn bias(classes: usize) -> String {
    let body = format!(
        "    if (e < {classes}u * dims.cols) {{ sums[e] = select(0.0, bias[e % {classes}u], e < {classes}u * dims.batch); }}"
    );
    each(&["bias", "sums!"], "", &body)
}

/// Sums become softmax minus target, a thread for each sample. Buffers: dims, targets, sums.
pub(crate) fn softmax_error(classes: usize, rails: usize) -> String {
    let k = classes;
    let head = format!(
        "    if (e >= dims.batch) {{ return; }}\n    let at = e * {k}u;\n    var top = -3e38f;\n    \
         for (var c = 0u; c < {k}u; c++) {{ top = max(top, sums[at + c]); }}\n"
    );
    let body = if rails == 1 {
        format!(
            "{head}    var sum = 0.0;\n    for (var c = 0u; c < {k}u; c++) {{ let x = decay(top - sums[at + c]); sums[at + c] = x; sum += x; }}\n    \
             let factor = 1.0 / sum;\n    for (var c = 0u; c < {k}u; c++) {{ sums[at + c] = sums[at + c] * factor - targets[at + c]; }}"
        )
    } else {
        format!(
            "{head}    let im = at + {k}u * dims.batch;\n    var sum = vec2<f32>(0.0);\n    for (var c = 0u; c < {k}u; c++) {{\n        \
             let x = exp_decaying(vec2<f32>(sums[at + c] - top, sums[im + c]));\n        sums[at + c] = x.x;\n        sums[im + c] = x.y;\n        sum += x;\n    }}\n    \
             let factor = inverse(sum);\n    for (var c = 0u; c < {k}u; c++) {{\n        \
             let x = mul(vec2<f32>(sums[at + c], sums[im + c]), factor);\n        sums[at + c] = x.x - targets[at + c];\n        sums[im + c] = x.y;\n    }}"
        )
    };
    each(&["targets", "sums!"], MATH, &body)
}

/// error = rates − target of the output layer. Buffers: dims, rates, targets, error.
pub(crate) fn difference(size: usize, offset: usize) -> String {
    let body = format!(
        "    if (e >= {size}u * dims.cols) {{ return; }}\n    var target_value = 0.0;\n    \
         if (e < {size}u * dims.batch) {{ target_value = targets[e]; }}\n    \
         error[e] = rates[{offset}u * dims.cols + e] - target_value;"
    );
    each(&["rates", "targets", "error!"], "", &body)
}

/// target −= β gain slope in the output layer. Buffers: dims, schedule, clock, own β of each sample, gain, slope, target.
pub(crate) fn teach(size: usize, offset: usize, rails: usize) -> String {
    let mut body = format!(
        "    if (e >= {size}u * dims.batch) {{ return; }}\n    let at = {offset}u * dims.cols + e;\n    let s = e / {size}u;\n    \
         let beat = clock[0] * {BEAT}u;\n    let re = bitcast<f32>(schedule[beat]) + own_beta[s];\n    let g = gain[e % {size}u];\n"
    );
    body += &if rails == 1 {
        "    dest[at] -= re * (g * slope[e]);".to_owned()
    } else {
        format!(
            "    let im = bitcast<f32>(schedule[beat + 1u]) + own_beta[dims.batch + s];\n    let span = {size}u * dims.batch;\n    \
             let x = g * slope[e];\n    let y = g * slope[e + span];\n    dest[at] -= re * x - im * y;\n    dest[at + span] -= re * y + im * x;"
        )
    };
    each(&["schedule#", "clock#", "own_beta", "gain", "slope", "dest!"], "", &body)
}

/// How a step is made of a state s and its target G.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// s ← G.
    Map,
    /// s ← s + f (G − s).
    Euler,
    /// s ← G + f (s − G).
    Exponential,
}

/// One step. Buffers: dims, target, factor of each neuron, state.
pub(crate) fn step(plan: &Plan, method: Method, rails: usize) -> String {
    let one = |at: &str| match method {
        Method::Map => format!("    state[{at}] = goal[{at}];\n"),
        Method::Euler => format!("    state[{at}] += f * (goal[{at}] - state[{at}]);\n"),
        Method::Exponential => format!("    state[{at}] = goal[{at}] + f * (state[{at}] - goal[{at}]);\n"),
    };
    let mut body = bound(plan);
    if method != Method::Map {
        body += "    let f = factor[p.neuron];\n";
    }
    body += &one("p.at");
    if rails == 2 {
        body += &one("(p.at + p.span)");
    }
    let bindings: &[&str] =
        if method == Method::Map { &["goal", "state!"] } else { &["goal", "factor", "state!"] };
    each(bindings, &locate(plan), &body)
}

/// Which rails of a complex state white noise acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoisyRails {
    /// Both, with draws of their own.
    Independent,
    /// Both, with the same draw.
    Equal,
    /// The real one.
    Real,
}

/// White noise is added, as large as is said for each neuron: a thread for four neurons of one column. Buffers: dims, schedule, clock, size,
/// state.
pub(crate) fn kick(plan: &Plan, rails: usize, noisy: NoisyRails) -> String {
    // A thread's block yields neurons 64 i + j, + 16, + 32 and + 48.
    let mut blocks = Vec::new();
    let mut find = String::from(
        "struct Four { layer: u32, offset: u32, size: u32, block: u32 }\nfn four(i: u32) -> Four {\n",
    );
    for (index, (layer, offset)) in plan.layers.iter().zip(plan.offsets()).enumerate() {
        let before: usize = blocks.iter().sum();
        blocks.push(16 * layer.size.div_ceil(64));
        let _ = writeln!(
            find,
            "    if (i < {}u) {{ return Four({index}u, {offset}u, {}u, i - {before}u); }}",
            before + blocks[index],
            layer.size
        );
    }
    find += "    return Four(0u, 0u, 0u, 0u);\n}\n";
    let all = kicks(plan);
    let drawn = if rails == 2 && noisy == NoisyRails::Independent { 2 } else { 1 };
    let mut body = format!(
        "    let part = e % {all}u;\n    let column = e / {all}u;\n    if (column >= dims.batch * {drawn}u) {{ return; }}\n    \
         let f = four(part);\n    let rail = column / dims.batch;\n    let sample = column % dims.batch;\n    \
         let beat = clock[0] * {BEAT}u;\n    let lane = ((2u * f.layer + rail) << 20u) + dims.first + sample;\n    \
         let w = philox(vec4<u32>(f.block, lane, schedule[beat + 2u], schedule[beat + 3u]), vec2<u32>(dims.key0, dims.key1));\n    \
         let a = normal_pair(w.x, w.y);\n    let b = normal_pair(w.z, w.w);\n    let values = array<f32, 4>(a.x, a.y, b.x, b.y);\n    \
         for (var k = 0u; k < 4u; k++) {{\n        let n = f.block / 16u * 64u + 16u * k + f.block % 16u;\n        \
         if (n >= f.size) {{ break; }}\n        let kick = size[f.offset + n] * values[k];\n        \
         let at = f.offset * dims.cols + column * f.size + n;\n        state[at] += kick;\n"
    );
    if rails == 2 && noisy == NoisyRails::Equal {
        body += "        state[at + f.size * dims.batch] += kick;\n";
    }
    body += "    }";
    each(&["schedule#", "clock#", "size", "state!"], &format!("{MATH}{PHILOX}{find}"), &body)
}

/// Threads that [`kick`] takes for each column.
pub(crate) fn kicks(plan: &Plan) -> usize {
    plan.layers.iter().map(|layer| 16 * layer.size.div_ceil(64)).sum()
}

/// The clock goes on. Buffers: dims, clock.
pub(crate) fn count() -> String {
    each(&["clock!#"], "", "    if (e == 0u) { clock[0] += 1u + 0u * dims.batch; }")
}

/// Rates, weighted for one accumulator, are added to a complex state. Buffers: dims, schedule, clock, rates, sums.
pub(crate) fn record(plan: &Plan, rails: usize, accumulator: usize) -> String {
    let at = 4 + 2 * accumulator;
    let mut body = bound(plan)
        + &format!(
            "    let beat = clock[0] * {BEAT}u + {at}u;\n    \
             let w = vec2<f32>(bitcast<f32>(schedule[beat]), bitcast<f32>(schedule[beat + 1u]));\n"
        );
    body += if rails == 1 {
        "    sums[p.complex] += w.x * rates[p.at];\n    sums[p.complex + p.span] += w.y * rates[p.at];"
    } else {
        "    let z = mul(w, vec2<f32>(rates[p.at], rates[p.at + p.span]));\n    sums[p.at] += z.x;\n    sums[p.at + p.span] += z.y;"
    };
    each(&["schedule#", "clock#", "rates", "sums!"], &format!("{MATH}{}", locate(plan)), &body)
}

/// The same of the output error. Buffers: dims, schedule, clock, error, sums.
pub(crate) fn record_error(outputs: usize, rails: usize, accumulator: usize) -> String {
    let at = 4 + 2 * accumulator;
    let mut body = format!(
        "    let span = {outputs}u * dims.batch;\n    if (e >= span) {{ return; }}\n    let beat = clock[0] * {BEAT}u + {at}u;\n    \
         let w = vec2<f32>(bitcast<f32>(schedule[beat]), bitcast<f32>(schedule[beat + 1u]));\n"
    );
    body += if rails == 1 {
        "    sums[e] += w.x * error[e];\n    sums[e + span] += w.y * error[e];"
    } else {
        "    let z = mul(w, vec2<f32>(error[e], error[e + span]));\n    sums[e] += z.x;\n    sums[e + span] += z.y;"
    };
    each(&["schedule#", "clock#", "error", "sums!"], MATH, &body)
}

/// Beyond this a rate that is bounded on the real axis has passed a pole.
const WILD: &str = "100.0";
/// Where no rate was wild.
pub(crate) const TAME: u32 = u32::MAX;

/// Notes the first rate that has passed a pole: its place in the state, and the tick. Buffers: dims, schedule, clock, rates, seen.
pub(crate) fn watch(plan: &Plan, rails: usize) -> String {
    let bounded: Vec<String> = (0..)
        .zip(&plan.layers)
        .filter(|(_, layer)| layer.bounded)
        .map(|(index, _): (u32, _)| format!("p.layer == {index}u"))
        .collect();
    let tested = if bounded.is_empty() { "false".to_owned() } else { bounded.join(" || ") };
    let mut body = bound(plan)
        + &format!("    var at = p.at;\n    var wild = ({tested}) && !(abs(rates[p.at]) <= {WILD});\n");
    if rails == 2 {
        body += &format!(
            "    if (({tested}) && !wild && !(abs(rates[p.at + p.span]) <= {WILD})) {{ wild = true; at = p.at + p.span; }}\n"
        );
    }
    body += &format!(
        "    if (wild) {{\n        let beat = clock[0] * {BEAT}u;\n        \
         if (atomicCompareExchangeWeak(&seen[0], {TAME}u, at).exchanged) {{\n            \
         atomicStore(&seen[1], schedule[beat + 2u]);\n            atomicStore(&seen[2], schedule[beat + 3u]);\n        }}\n    }}"
    );
    each(&["schedule#", "clock#", "rates", "seen!@"], &locate(plan), &body)
}

/// Largest |G − s| of each sample, a group for each. Buffers: dims, target, state, largest.
pub(crate) fn residual(plan: &Plan, rails: usize) -> String {
    let mut text = declarations(&["goal", "state", "largest!"]);
    let mut find = String::new();
    for (layer, offset) in plan.layers.iter().zip(plan.offsets()) {
        let size = layer.size;
        let _ = writeln!(
            find,
            "    for (var rail = 0u; rail < {rails}u; rail++) {{\n        \
             let at = {offset}u * dims.cols + (rail * dims.batch + sample) * {size}u;\n        \
             for (var n = own; n < {size}u; n += 256u) {{\n            let d = abs(goal[at + n] - state[at + n]);\n            \
             if (!(d <= most)) {{ most = d; }}\n        }}\n    }}"
        );
    }
    let _ = write!(
        text,
        "var<workgroup> parts: array<f32, 256>;\n@compute @workgroup_size(256)\nfn main({INDEX}) {{\n    \
         let sample = group.x + 0u * groups.x;\n    var most = 0.0;\n{find}    parts[own] = most;\n    workgroupBarrier();\n    \
         if (own == 0u) {{\n        for (var i = 1u; i < 256u; i++) {{\n            if (!(parts[i] <= most)) {{ most = parts[i]; }}\n        }}\n        \
         largest[sample] = most;\n    }}\n}}\n"
    );
    text
}

/// Random words of one lane, and the uniform numbers made of them: of a test. Buffers: dims, words, numbers.
pub(crate) fn draw(tick: u64, lane: u32) -> String {
    let (low, high) = (tick as u32, (tick >> 32) as u32);
    let body = format!(
        "    let w = philox(vec4<u32>(e, {lane}u, {low}u, {high}u), vec2<u32>(dims.key0, dims.key1));\n    \
         if (4u * e + 3u >= arrayLength(&words)) {{ return; }}\n    let v = array<u32, 4>(w.x, w.y, w.z, w.w);\n    \
         for (var k = 0u; k < 4u; k++) {{\n        let n = e / 16u * 64u + 16u * k + e % 16u;\n        words[n] = v[k];\n        \
         numbers[n] = above_zero(v[k]);\n    }}"
    );
    each(&["words!#", "numbers!"], &format!("{MATH}{PHILOX}"), &body)
}

/// A whole state becomes zero. Buffers: dims, state.
pub(crate) fn zero(plan: &Plan) -> String {
    let body = format!("    if (e < {}u * dims.cols) {{ dest[e] = 0.0; }}", plan.neurons());
    each(&["dest!"], "", &body)
}

// A convolution as a matrix product that gathers its patches on the way (a dense connection is one of a single position): 64 rows, which
// are positions of all samples and rails, by 64 channels, 16 terms at a time. FORWARD from below to above, else its transpose.

@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

var<workgroup> left: array<f32, 1088>;
var<workgroup> right: array<f32, 1088>;

// Element `term` of the patch of a row.
fn gather(row: u32, term: u32) -> f32 {
    let column = row / ROWS;
    let position = row % ROWS;
    let tap = term / CHANNELS;
    let channel = term % CHANNELS;
    let ky = tap / KERNEL_X;
    let kx = tap % KERNEL_X;
    if (FORWARD) {
        let y = i32(position / OUT_X * STRIDE + ky) - BEFORE_Y;
        let x = i32(position % OUT_X * STRIDE + kx) - BEFORE_X;
        if (y < 0 || x < 0 || y >= i32(IN_Y) || x >= i32(IN_X)) {
            return 0.0;
        }
        return source[SOURCE * dims.cols + (column * IN_Y * IN_X + u32(y) * IN_X + u32(x)) * CHANNELS + channel];
    }
    let y = i32(position / IN_X) + BEFORE_Y - i32(ky);
    let x = i32(position % IN_X) + BEFORE_X - i32(kx);
    if (y < 0 || x < 0 || u32(y) % STRIDE != 0u || u32(x) % STRIDE != 0u) {
        return 0.0;
    }
    let oy = u32(y) / STRIDE;
    let ox = u32(x) / STRIDE;
    if (oy >= OUT_Y || ox >= OUT_X) {
        return 0.0;
    }
    return source[SOURCE * dims.cols + (column * OUT_Y * OUT_X + oy * OUT_X + ox) * CHANNELS + channel];
}

fn weight(term: u32, channel: u32) -> f32 {
    if (FORWARD) {
        return weights[term * WIDTH + channel];
    }
    return weights[(term / CHANNELS * WIDTH + channel) * CHANNELS + term % CHANNELS];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) own: u32) {
    let rows = ROWS * dims.cols;
    let first_row = tile.x * 64u;
    let first_channel = tile.y * 64u;
    let row = own / 16u;
    let channel = own % 16u;
    var sums: array<vec4<f32>, 4>;
    for (var begin = 0u; begin < TERMS; begin += 16u) {
        for (var part = 0u; part < 4u; part++) {
            // Neighbours read neighbours.
            let r = row + 16u * part;
            let term = begin + channel;
            var value = 0.0;
            if (first_row + r < rows && term < TERMS) {
                value = gather(first_row + r, term);
            }
            left[channel * 68u + r] = value;
            var t = own / 64u + 4u * part;
            var c = own % 64u;
            if (!FORWARD) {
                t = channel;
                c = r;
            }
            value = 0.0;
            if (begin + t < TERMS && first_channel + c < WIDTH) {
                value = weight(begin + t, first_channel + c);
            }
            right[t * 68u + c] = value;
        }
        workgroupBarrier();
        for (var t = 0u; t < 16u; t++) {
            let l = t * 68u + 4u * row;
            let r = t * 68u + channel;
            let b = vec4<f32>(right[r], right[r + 16u], right[r + 32u], right[r + 48u]);
            sums[0] = fma(vec4<f32>(left[l]), b, sums[0]);
            sums[1] = fma(vec4<f32>(left[l + 1u]), b, sums[1]);
            sums[2] = fma(vec4<f32>(left[l + 2u]), b, sums[2]);
            sums[3] = fma(vec4<f32>(left[l + 3u]), b, sums[3]);
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let r = first_row + 4u * row + i;
        if (r >= rows) {
            break;
        }
        for (var j = 0u; j < 4u; j++) {
            let c = first_channel + channel + 16u * j;
            if (c < WIDTH) {
                let at = RESULT * dims.cols + r * WIDTH + c;
                result[at] = select(0.0, result[at], ADDS) + sums[i][j];
            }
        }
    }
}

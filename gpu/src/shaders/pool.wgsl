// Pooling of z = K∗a over windows, channel by channel: P(z), and what its derivatives pass on. N is a real or a complex number; where z is
// real, the columns of what it meets may be rails of complex numbers. A thread works one result out, windows and all.

// Softmax of a window: its greatest real part, 1/Σe, and Σ e x/Σe, with x = (z − greatest)/T and e = exp x.
struct Window { greatest: f32, scale: N, mean: N }

fn member(column: u32, wy: u32, wx: u32, j: u32, channel: u32) -> u32 {
    return ((column * Z_Y + wy * HOP + j / SPAN) * Z_X + wx * HOP + j % SPAN) * CHANNELS + channel;
}

fn weigh(column: u32, wy: u32, wx: u32, channel: u32) -> Window {
    var greatest = -3e38;
    for (var j = 0u; j < SPAN * SPAN; j++) {
        greatest = max(greatest, re(z_at(member(column, wy, wx, j, channel))));
    }
    var sum = from_real(0.0);
    var mean = from_real(0.0);
    for (var j = 0u; j < SPAN * SPAN; j++) {
        let x = (z_at(member(column, wy, wx, j, channel)) - from_real(greatest)) * COLD;
        let e = exp_of(x);
        sum += e;
        mean += times(e, x);
    }
    let scale = inverse_of(sum);
    return Window(greatest, scale, times(mean, scale));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) own: u32) {
    let i = (group.y * groups.x + group.x) * 256u + own;
    let channel = i % CHANNELS;
    BODY
}

// Philox4x32-10 of Salmon, Moraes, Dror and Shaw (SC11, 2011), and Box and Muller's normal numbers.

fn upper(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let left = a1 * b0;
    let right = a0 * b1;
    let middle = (low >> 16u) + (left & 0xffffu) + (right & 0xffffu);
    return a1 * b1 + (left >> 16u) + (right >> 16u) + (middle >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let p = vec2<u32>(upper(c.x, 0xD2511F53u), c.x * 0xD2511F53u);
        let q = vec2<u32>(upper(c.z, 0xCD9E8D57u), c.z * 0xCD9E8D57u);
        c = vec4<u32>(q.x ^ c.y ^ k.x, q.y, p.x ^ c.w ^ k.y, p.y);
        k += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// Uniform on (0, 1].
fn above_zero(word: u32) -> f32 {
    return fma(f32(i32(word >> 1u)), 4.656612873e-10, 2.3283064365e-10);
}

fn normal_pair(radius: u32, direction: u32) -> vec2<f32> {
    let r = sqrt(-2.0 * ln(above_zero(radius)));
    let turn = f32(bitcast<i32>(direction)) * 7.31459046e-10;
    let signed = select(r, -r, (direction & 1u) == 1u);
    return signed * vec2<f32>(cos_half_turn(turn), sin_half_turn(turn));
}

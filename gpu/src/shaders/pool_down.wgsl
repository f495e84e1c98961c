    let x = i / CHANNELS % Z_X;
    let y = i / CHANNELS / Z_X % Z_Y;
    let column = i / (CHANNELS * Z_X * Z_Y);
    if (column >= COLUMNS) {
        return;
    }
    // The windows that the position is in.
    let last_y = min(y / HOP, P_Y - 1u);
    let last_x = min(x / HOP, P_X - 1u);
    var sum = from_real(0.0);
    for (var wy = (max(y + HOP, SPAN) - SPAN) / HOP; wy <= last_y; wy++) {
        for (var wx = (max(x + HOP, SPAN) - SPAN) / HOP; wx <= last_x; wx++) {
            if (y >= wy * HOP + SPAN || x >= wx * HOP + SPAN) {
                continue;
            }
            let above = ((column * P_Y + wy) * P_X + wx) * CHANNELS + channel;
            if (AVERAGE) {
                sum += v_at(above) / f32(SPAN * SPAN);
                continue;
            }
            let window = weigh(Z_COLUMN, wy, wx, channel);
            let mine = (z_at((Z_COLUMN * Z_Y * Z_X + y * Z_X + x) * CHANNELS + channel) - from_real(window.greatest)) * COLD;
            let p = times(exp_of(mine), window.scale);
            let q = mine - window.mean;
            DOWN
        }
    }
    put_down(i, sum);

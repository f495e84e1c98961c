    let wx = i / CHANNELS % P_X;
    let wy = i / CHANNELS / P_X % P_Y;
    let column = i / (CHANNELS * P_X * P_Y);
    if (column >= COLUMNS) {
        return;
    }
    let at = ABOVE * dims.cols + i;
    if (AVERAGE) {
        var sum = from_real(0.0);
        for (var j = 0u; j < SPAN * SPAN; j++) {
            sum += z_at(member(Z_COLUMN, wy, wx, j, channel));
        }
        add_up(at, sum / f32(SPAN * SPAN));
        return;
    }
    let window = weigh(Z_COLUMN, wy, wx, channel);
    UP

"""Makes ecram_linear.csv: no laboratory's pulses, but those of a published law.

The law is that of the lithium ECRAM of Tang et al., IEDM 2018, in the fit of aihwkit (EcRamPresetDevice): a linear step of 0.002 that loses
0.1153 of itself on the way up to w = 1.1724 and 0.5085 on the way down to w = -0.8276, 10 % from device to device and 30 % from pulse to
pulse. Five devices, one train up and one down each. A conductance is 10 uS + 10 uS (w + 0.8276): the unit is ours, the law knows none.
"""

import random

random.seed(2018)
LOW, HIGH = -0.8276, 1.1724


def device():
    step = 0.002 * (1 + 0.1 * random.gauss(0, 1))
    up = abs(0.1153 + 0.05 * random.gauss(0, 1))
    down = abs(0.5085 + 0.05 * random.gauss(0, 1))
    w = LOW
    yield w
    for k in range(2400):
        direction = 1 if k < 1200 else -1
        loss = up * w / HIGH if direction > 0 else down * w / LOW
        w += direction * step * (1 - loss) * (1 + 0.3 * random.gauss(0, 1))
        w = min(max(w, LOW), HIGH)
        yield w


traces = [[f"{10 + 10 * (w - LOW):.4f}" for w in device()] for _ in range(5)]
with open("ecram_linear.csv", "w", encoding="utf-8") as file:
    file.write("# made by make.py from a published law: linear steps of an ECRAM, Tang et al. 2018 as fitted in aihwkit\n")
    file.write("pulse,polarity," + ",".join(f"device {k} (uS)" for k in range(1, 6)) + "\n")
    for k, row in enumerate(zip(*traces)):
        file.write(f"{k},{1 if k <= 1200 else -1}," + ",".join(row) + "\n")

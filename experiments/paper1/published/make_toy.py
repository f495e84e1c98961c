#!/usr/bin/env python3
"""Writes experiments/toy.safetensors and experiments/toy_batch.safetensors from toy_network.json (standard library only)."""
import json, pathlib, struct

here = pathlib.Path(__file__).parent
experiments = here.parent.parent
toy = json.loads((here / "toy_network.json").read_text())


def write(path, tensors):
    header, data = {}, b""
    for name in sorted(tensors):
        kind, shape, values = tensors[name]
        raw = struct.pack(f"<{len(values)}{'d' if kind == 'F64' else 'q'}", *values)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def weight(name):
    from_to = toy["weights"][name]["w"]
    to_from = [list(row) for row in zip(*from_to)]
    return "F64", [len(to_from), len(to_from[0])], [w for row in to_from for w in row]


def bias(name):
    values = toy["weights"][name]["b"]
    return "F64", [len(values)], values


write(experiments / "toy.safetensors", {
    "input-h1.weight": weight("fc_1"), "h1.bias": bias("fc_1"),
    "h1-h2.weight": weight("fc_2"), "h2.bias": bias("fc_2"),
    "readout.weight": weight("fc_3"), "readout.bias": bias("fc_3"),
})
write(experiments / "toy_batch.safetensors", {
    "x": ("F64", [1, len(toy["input"])], toy["input"]),
    "y": ("I64", [1], [toy["label"]]),
})

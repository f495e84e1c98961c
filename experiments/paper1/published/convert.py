#!/usr/bin/env python3
"""Writes the files of this folder from the authors' results as JSON (standard library only): convert.py FOLDER."""
import json, pathlib, struct, sys

source_folder, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
ORIGIN = ("Laborieux & Zenke, NeurIPS 2022, arXiv 2209.00530, {}; numbers from the public result files of "
          "github.com/Laborieux-Axel/holomorphic_eqprop (MIT licence)")


def short(x):
    """The shortest decimal that is the same number in single precision, in which the results were computed."""
    if x is None or isinstance(x, (int, str)):
        return x
    single = struct.pack("f", x)
    return next(v for digits in range(1, 18) if struct.pack("f", v := float(f"{x:.{digits}g}")) == single)


def read(name):
    return json.loads((source_folder / name).read_text())


def curve(label, beside, **columns):
    columns = {name.rstrip("_"): [short(x) for x in values] for name, values in columns.items()}
    return {"label": label} | ({"beside": beside} if beside else {}) | {"columns": columns}


def write(name, figure, curves):
    lines = ",\n".join("    " + json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in curves)
    source = json.dumps(ORIGIN.format(figure), ensure_ascii=False)
    (here / name).write_text(f'{{\n  "source": {source},\n  "curves": [\n{lines}\n  ]\n}}\n')


def flat(values):
    return [x for v in values for x in flat(v)] if isinstance(values, list) else [values]


# Fig. 2a: equilibria by amplitude and neuron; the gradient by BPTT as [from, to], the transpose of ours.
states = read("fig2ac_toy_states.json")
equilibria, relaxation = [], []
for amplitude, run in states.items():
    beta = f"|β| = {amplitude}"
    for layer, name in enumerate(["h1", "h2"]):
        free = flat(run["free_equilibrium"][layer])
        points = [run["equilibria"][str(k)][layer] for k in range(24)]
        for neuron in range(4):
            equilibria.append(curve("published", f"{beta}/{name}.{neuron + 1}",
                point=range(24), re=[flat(p["re"])[neuron] for p in points],
                im=[flat(p["im"])[neuron] for p in points], free=[free[neuron]] * 24))
    for ours, theirs, kind in [("input-h1.weight", "fc_1", "w"), ("h1.bias", "fc_1", "b"), ("h1-h2.weight", "fc_2", "w"),
                               ("h2.bias", "fc_2", "b"), ("readout.weight", "fc_3", "w"), ("readout.bias", "fc_3", "b")]:
        gradient = flat(run["bptt_gradient"][theirs][kind])
        equilibria.append(curve("gradient by BPTT", f"{beta}/{ours}", gradient=gradient))
    # Fig. 2c: residuals step by step, first to the free equilibrium, then on to each of the 24.
    def steps(key):
        return run["residual_nudged"][str(key)]
    free = run["residual_free"]
    relaxation.append(curve("published", f"{beta}/free", step=range(1, len(free) + 1), residual=free))
    for k in range(24):
        relaxation.append(curve("published", f"{beta}/{k}",
            step=range(1, len(steps(k)) + 1), residual=steps(k)))
write("fig2a.json", "Fig. 2a", equilibria)
write("fig2c.json", "Fig. 2c", relaxation)


def beta_sweep(run, label, beside):
    for n in run["cosine"]["total"]:
        # Rounding has carried some cosines above 1.
        cosine = [min(x, 1.0) for x in run["cosine"]["total"][n]]
        yield curve(f"{label}, N = {n}", beside.get(n, f"N = {n}"), amplitude=run["beta"], total_cosine=cosine,
            distance=run["distance"]["total"][n])


write("fig2d.json", "Fig. 2d", [c for run in read("fig2d_beta_sweep.json") for c in beta_sweep(run, "published", {})])
# Of July 2022, with the noise of the published code, up to |β| = 4; and of May 2022, up to 10, with less noise in N = 1.
may, july = sorted(read("fig3c_beta_sweep.json"), key=lambda run: -run["hyperparameters"]["beta"])
write("fig3c.json", "Fig. 3c", [*beta_sweep(july, "published", {"1": "classic", "15": "cauchy"}),
                                *(dict(c, label="published, May 2022") for c in beta_sweep(may, "", {"1": None, "15": None}))])

runs = sorted(read("fig3ab_continuous.json"), key=lambda run: run["hyperparameters"]["T2"])
write("fig3ab.json", "Fig. 3a, 3b", [
    curve(f"published, T_dyn = {(t := run['hyperparameters']['T2'])}", f"T_dyn = {t}", period=range(41),
        total_cosine=run["cosine"], distance=run["distance"]) for run in runs])

write("table1.json", "Table 1", [
    curve(f"published, {row}", row, seed=[run["hyperparameters"]["seed"]] * 50, epoch=range(1, 51),
        **{name: run[name] for name in ["train_accuracy", "test_accuracy", "train_loss", "test_loss"]})
    for row, runs in read("table1_mnist.json").items() if not row.endswith("_old") for run in runs])


# Fig. 4a: softmax pooling, and max pooling with its own numbers of points; Fig. 4b: against the number of points.
runs = read("fig4a_beta_sweep.json")
pooling = {"my_hardtanh": "max", "my_holotanh": "softmax"}
write("fig4a.json", "Fig. 4a", [
    dict(c, beside=f"{kind}, {c['beside']}") for run in runs for kind in [pooling[run["hyperparameters"]["activation"]]]
    for c in beta_sweep(run, f"published, {kind}", {})])
(run,) = read("fig4b_beta_sweep.json")
total = run["cosine"]["total"]
write("fig4b.json", "Fig. 4b", [
    curve(f"published, |β| = {short(beta):g}", f"{short(beta):g}", points=map(int, total),
        total_cosine=[min(values[place], 1.0) for values in total.values()]) for place, beta in enumerate(run["beta"])])


def epochs(run, beside):
    """Every epoch of a run of a convolutional network."""
    names = ["train_accuracy", "test_accuracy", "train_loss", "test_loss"]
    count = len(run["test_accuracy"])
    return curve(f"published, {beside}", beside, seed=[run["hyperparameters"]["seed"]] * count,
        epoch=range(1, count + 1), **{name: run[name] for name in names})


rows = read("table2_cnn.json")
table = {f"{data}/{row}": f"{name}_{short_name}" for data, short_name in
         [("cifar10", "cif10"), ("cifar100", "cif100"), ("imagenet32", "im32")] for row, name in [("hep", "ep"), ("bp", "bp")]}
write("table2.json", "Table 2", [epochs(run, row) for row, key in table.items() for run in rows[key]])
figure = {"softmax, N = 2": "fig4c_holo_N2", "softmax, N = 4": "fig4c_holo_N4", "max, N = 2": "fig4c_non_holo_N2"}
write("fig4c.json", "Fig. 4c", [epochs(run, row) for row, key in figure.items() for run in rows[key]])

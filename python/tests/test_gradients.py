"""Gradients, arrays of every kind, comparisons and traces."""

import copy
import pickle
import sys

import numpy as np
import pytest

import holograd as hg

DRIVE = {"oscillation": {"amplitude": 0.3, "period": 100}}


def test_an_oscillation_is_close_to_the_adjoint(toy, params, batch):
    x, y = batch
    estimate = toy.gradient(params, x, y, DRIVE)
    truth = toy.gradient(params, x, y, "adjoint")
    comparison = hg.compare(estimate, truth)
    assert comparison.synapses.cosine > 0.999
    assert set(comparison.parameters) == set(toy.parameters)
    assert comparison == estimate.compare(truth.gradient)
    assert {name: g.shape for name, g in estimate.gradient.items()} == toy.parameters
    assert {name: f.shape for name, f in estimate.free.items()} == {"h1": (12, 4), "h2": (12, 4)}
    assert estimate.error_vector["h2"].shape == (12, 4) and estimate.output_error.shape == (12, 4)
    assert estimate.quadrature.keys() == estimate.gradient.keys() and truth.quadrature is None
    assert estimate.diagnostics["rhs_evaluations"] > 0 and estimate.warnings == []
    assert estimate.estimator["oscillation"]["period"] == 100
    np.testing.assert_allclose(estimate.free["h1"], truth.free["h1"], atol=1e-6)


def test_the_adjoint_is_the_slope_of_the_cost(toy, params, batch):
    """Against finite differences of the cost of free equilibria, which the rates and the read-out tell."""
    x, y = batch

    def cost(moved):
        rates = toy.gradient(moved, x, y, "adjoint", diagnose=False).free["h2"]
        logits = rates @ moved["readout.weight"].T + moved["readout.bias"]
        logits -= logits.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))

    gradient = toy.gradient(params, x, y).gradient
    rng = np.random.default_rng(1)
    for name in params:
        way = rng.normal(size=params[name].shape)
        ends = [cost({**params, name: params[name] + step * way}) for step in (-1e-5, 1e-5)]
        slope = (ends[1] - ends[0]) / 2e-5
        assert abs(slope - np.sum(way * gradient[name])) < 1e-8, name


def test_the_dtype_is_kept(toy, batch):
    x, y = batch
    for dtype in (np.float32, np.float64):
        params = toy.initial(seed=3, dtype=dtype)
        assert all(p.dtype == dtype for p in params.values())
        assert all(g.dtype == dtype for g in toy.gradient(params, x, y).gradient.values())
    # The same draws.
    np.testing.assert_allclose(toy.initial(3, np.float32)["h1-h2.weight"], toy.initial(3)["h1-h2.weight"], rtol=1e-6)


def test_arrays_of_every_kind_mean_the_same(toy, params, batch):
    x, y = batch
    truth = toy.gradient(params, x, y).gradient["input-h1.weight"]

    def same(params, x, y):
        np.testing.assert_array_equal(toy.gradient(params, x, y).gradient["input-h1.weight"], truth)

    hot = np.eye(4)[y]
    wide = np.zeros((24, 12))
    wide[::2, ::2] = x
    for other in (np.asfortranarray(x), wide[::2, ::2], x[::-1][::-1], x.astype(">f8"), x.tolist(), x.astype(np.longdouble)):
        same(params, other, y)
    for labels in (y.astype(np.uint8), y.astype(">i4"), y.tolist(), hot, hot.astype(int), hot.astype(bool), np.asfortranarray(hot)):
        same(params, x, labels)
    same({name: np.asfortranarray(p).astype(">f8") for name, p in params.items()}, x, y)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view(x.dtype).reshape(x.shape)
    assert not unaligned.flags.aligned
    same(params, unaligned, y)
    readonly = x.copy()
    readonly.flags.writeable = False
    same(params, readonly, y)

    class Odd:
        """An array of somebody else's."""

        def __array__(self, dtype=None, copy=None):
            return x

    class Packed:
        def __dlpack__(self, **options):
            return x.__dlpack__(**options)

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    same(params, Odd(), y)
    same(params, Packed(), y)
    single = {name: p.astype(np.float16) for name, p in params.items()}
    assert toy.gradient(single, x, y).gradient["h1.bias"].dtype == np.float32
    one = toy.gradient(params, x[0], y[0]).gradient["h1.bias"]
    np.testing.assert_array_equal(one, toy.gradient(params, x[:1], hot[:1]).gradient["h1.bias"])


def test_an_array_in_order_is_read_where_it_lies(toy, params, batch):
    from holograd import _arrays

    for dtype in (np.float32, np.float64):
        x = batch[0].astype(dtype)
        taken = _arrays.inputs("x", x, toy.inputs, None, dtype)
        assert np.shares_memory(x, taken) and taken.__array_interface__["data"][0] == x.__array_interface__["data"][0]
        p = params["h1-h2.weight"].astype(dtype)
        assert _arrays.reals("p", p, dtype).__array_interface__["data"][0] == p.__array_interface__["data"][0]
    values = np.ascontiguousarray(np.eye(4)[batch[1]])
    assert np.shares_memory(values, _arrays.targets("y", values, 12, 4, True, np.float64))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_a_large_input_is_not_copied():
    """The peak of resident memory rises by far less than the input has."""
    net = hg.Network("digits")
    params = net.initial(0, np.float32)
    x = np.zeros((200_000, net.inputs), dtype=np.float32)
    y = np.zeros(len(x), dtype=np.int64)
    sparse = x[:10].copy()
    net.gradient(params, sparse, y[:10], diagnose=False)

    def peak():
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    from holograd import _arrays

    before = peak()
    _arrays.inputs("x", x, net.inputs, None, np.float32)
    assert peak() - before < x.nbytes / 1024 / 20


def test_images_have_their_shape():
    net = hg.Network("conv_digits")
    params = net.initial(0, np.float32)
    x = np.random.default_rng(0).uniform(0, 1, (3, *net.input_shape)).astype(np.float32)
    y = [0, 1, 2]
    flat = net.gradient(params, x.reshape(3, -1), y, diagnose=False)
    shaped = net.gradient(params, x, y, diagnose=False)
    for name, gradient in flat.gradient.items():
        np.testing.assert_array_equal(gradient, shaped.gradient[name])
        assert gradient.shape == net.parameters[name]


def test_noise_is_that_of_its_seed_and_update(toy, params, batch):
    drive = {"oscillation": {"amplitude": 0.3, "period": 100, "integrator": {"exponential_euler": {"step": 0.5}}}}

    def noisy(std=0.01, **options):
        noise = {"state_noise": {"white": {"std": std}}}
        return toy.gradient(params, *batch, drive, imperfections=noise, **options).gradient["h1-h2.weight"]

    first = noisy()
    np.testing.assert_array_equal(first, noisy(seed=0, update=0))
    assert not np.array_equal(first, noisy(seed=1)) and not np.array_equal(first, noisy(update=1))
    ideal = toy.gradient(params, *batch, drive).gradient["h1-h2.weight"]
    assert 0 < np.linalg.norm(first - ideal) < np.linalg.norm(noisy(std=0.1) - ideal)
    cmos = [toy.gradient(params, *batch, imperfections={"preset": "cmos", "device_seed": d}).gradient["h1.bias"] for d in (0, 0, 1)]
    np.testing.assert_array_equal(cmos[0], cmos[1])
    assert not np.array_equal(cmos[0], cmos[2])


def test_a_trace_oscillates(toy, params, batch):
    trace = toy.trace(params, batch[0][0], batch[1][0], {"amplitude": 0.3, "period": 40, "periods": 3})
    assert trace.t.shape == trace.beta.shape == trace.potentials.shape[:1]
    assert trace.potentials.shape == trace.rates.shape and trace.potentials.shape[1] == len(trace.neurons) == 8
    assert trace.neurons[0] == "h1[0]"
    assert abs(np.abs(trace.beta[-1]) - 0.3) < 1e-12
    period = trace.harmonics.shape[1]
    spectrum = np.fft.fft(trace.potentials[-period:], axis=0).T / period
    np.testing.assert_allclose(trace.harmonics, spectrum, atol=1e-12)
    negative = np.abs(trace.harmonics[:, period // 2 + 1 :]).max()
    assert negative < 1e-6 * np.abs(trace.harmonics[:, 1]).max()
    assert trace.running["cosine"][-1] > 0.99 and trace.summary["cosine"] == trace.running["cosine"][-1]


def test_objects_print_pickle_and_copy(toy, params, batch):
    estimate = toy.gradient(params, *batch, DRIVE)
    comparison = hg.compare(estimate, toy.gradient(params, *batch))
    assert repr(toy) == "Network('toy', 6 inputs, layers 4-4, 4 outputs, 68 parameters)"
    assert "'oscillation'" in repr(estimate) and "12 samples" in repr(estimate) and "68 numbers" in repr(estimate)
    assert "cosine=0.99" in repr(comparison) and "h1-h2.weight" in repr(comparison)
    trace = toy.trace(params, batch[0][0], batch[1][0], {"amplitude": 0.3, "period": 40, "periods": 2})
    assert "neurons" in repr(trace)
    for copied in (pickle.loads(pickle.dumps(toy)), copy.deepcopy(toy)):
        assert copied == toy and copied is not toy
    for copied in (pickle.loads(pickle.dumps(estimate)), copy.deepcopy(estimate)):
        assert repr(copied) == repr(estimate)
        np.testing.assert_array_equal(copied.gradient["h1.bias"], estimate.gradient["h1.bias"])
    assert pickle.loads(pickle.dumps(comparison)) == comparison == copy.deepcopy(comparison)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(trace)).beta, trace.beta)


def test_results_go_out_by_dlpack(toy, params, batch):
    gradient = toy.gradient(params, *batch).gradient["h1-h2.weight"]
    shared = np.from_dlpack(gradient)
    assert np.shares_memory(gradient, shared)
    assert gradient.flags.c_contiguous and gradient.flags.writeable


def test_parameters_come_back_from_a_file(toy, params, tmp_path):
    path = tmp_path / "p.safetensors"
    hg.save(path, params)
    for name, array in toy.load(path).items():
        np.testing.assert_array_equal(array, params[name])
    assert toy.load(path, np.float32)["h1.bias"].dtype == np.float32
    hg.save(path, {**params, "other": [1.0]})
    with pytest.raises(hg.ConfigError, match="unknown array `other`"):
        toy.load(path)

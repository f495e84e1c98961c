"""Bad input: an exception of Python each, and the process goes on."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import holograd as hg

NAN = float("nan")


def gradient(**changed):
    toy = hg.Network("toy")
    x, y = np.zeros((3, 6)), [0, 1, 2]
    asked = {"params": toy.initial(), "x": x, "y": y, "estimator": "adjoint", **changed}
    return toy.gradient(**asked)


def changed(name, value):
    return {**hg.Network("toy").initial(), name: value}


holding_itself = {}
holding_itself["model"] = holding_itself

ITSELF = holding_itself
BAD = {
    # name: (what is done, exception, path, part of the message)
    "no such model": (lambda: hg.Network("tow"), hg.ConfigError, "", "did you mean `toy`"),
    "a model that is a number": (lambda: hg.Network(3), hg.ConfigError, "model", "found int"),
    "an unknown field of a model": (lambda: hg.Network({"name": "a", "inputs": 3}), hg.ConfigError, None, "unknown field"),
    "a dict that holds itself": (lambda: hg.Network(ITSELF), hg.ConfigError, None, "levels"),
    "a model too large": (
        lambda: hg.Network({**hg.Network("toy").model, "layers": [{"name": "h1", "size": 10**9}, {"name": "h2", "size": 10**9}]}),
        hg.ConfigError, "layers", "may have at most",
    ),
    "inputs of another number": (lambda: gradient(x=np.zeros((3, 5))), hg.ConfigError, "x", "expected shape is [samples, 6]"),
    "inputs of three axes": (lambda: gradient(x=np.zeros((3, 6, 1))), hg.ConfigError, "x", "found the shape [3, 6, 1]"),
    "inputs that are not a number": (lambda: gradient(x=np.full((3, 6), NAN)), hg.ConfigError, "x", "entry [0, 0] is NaN"),
    "infinite inputs": (lambda: gradient(x=np.full((3, 6), np.inf)), hg.ConfigError, "x", "entry [0, 0] is inf"),
    "bytes as inputs": (lambda: gradient(x=np.full((3, 6), 255, np.uint8)), hg.ConfigError, "x", "divided by 255"),
    "complex inputs": (lambda: gradient(x=np.zeros((3, 6), complex)), hg.ConfigError, "x", "complex128"),
    "texts as inputs": (lambda: gradient(x=[["a"] * 6] * 3), hg.ConfigError, "x", "real numbers"),
    "objects as inputs": (lambda: gradient(x=[[object()] * 6] * 3), hg.ConfigError, "x", "real numbers"),
    "ragged inputs": (lambda: gradient(x=[[1.0], [1.0, 2.0]]), hg.ConfigError, "x", "no array"),
    "masked inputs": (lambda: gradient(x=np.ma.masked_equal(np.eye(6)[:3], 1)), hg.ConfigError, "x", "masked"),
    "no samples": (lambda: gradient(x=np.zeros((0, 6)), y=np.zeros(0, int)), hg.ConfigError, "x", "found no samples"),
    "labels too large": (lambda: gradient(y=[0, 1, 4]), hg.ConfigError, "y", "entry [2] is 4"),
    "negative labels": (lambda: gradient(y=[0, -1, 2]), hg.ConfigError, "y", "entry [1] is -1"),
    "labels that are fractions": (lambda: gradient(y=[0.0, 1.0, 2.0]), hg.ConfigError, "y", "integers"),
    "too few labels": (lambda: gradient(y=[0, 1]), hg.ConfigError, "y", "labels [3]"),
    "no probabilities": (lambda: gradient(y=np.ones((3, 4))), hg.ConfigError, "y", "do not sum to 1"),
    "a parameter that is missing": (lambda: gradient(params={}), hg.ConfigError, None, "found no such array"),
    "a parameter too many": (lambda: gradient(params=changed("h9.bias", np.zeros(4))), hg.ConfigError, None, "does not have"),
    "a parameter of another shape": (lambda: gradient(params=changed("h1.bias", np.zeros(5))), hg.ConfigError, None, "[4]"),
    "a parameter that is not a number": (lambda: gradient(params=changed("h1.bias", [NAN] * 4)), hg.ConfigError, None, "NaN"),
    "parameters that are a list": (lambda: gradient(params=[1, 2]), hg.ConfigError, "params", "found an object of type list"),
    "no such estimator": (lambda: gradient(estimator="adjiont"), hg.ConfigError, "estimator", "did you mean `adjoint`"),
    "a field that an estimator lacks": (
        lambda: gradient(estimator={"oscillation": {"amplitude": 0.1, "periode": 10}}), hg.ConfigError, "estimator.oscillation.periode", "did you mean `period`",
    ),
    "a negative period": (
        lambda: gradient(estimator={"oscillation": {"amplitude": 0.1, "period": -10}}),
        hg.ConfigError, "estimator.oscillation.period", "greater than 0",
    ),
    "an amplitude that is not a number": (
        lambda: gradient(estimator={"oscillation": {"amplitude": NAN, "period": 10}}), hg.ConfigError, "estimator.oscillation.amplitude", "finite",
    ),
    "no such preset": (lambda: gradient(imperfections="cmoss"), hg.ConfigError, "imperfections", "cmos"),
    "no such form": (lambda: gradient(form="potentials"), hg.ConfigError, "form", "potential"),
    "a seed below 0": (lambda: gradient(seed=-1), hg.ConfigError, "seed", "found -1"),
    "a seed that is a fraction": (lambda: gradient(seed=0.5), hg.ConfigError, "seed", "0.5"),
    "no such dtype": (lambda: hg.Network("toy").initial(dtype="float128x"), hg.ConfigError, "dtype", "float32 or float64"),
    "no such experiment": (lambda: hg.run("digitz"), hg.ConfigError, "", "did you mean `digits`"),
    "overrides that are a list": (lambda: hg.run("digits", ["epochs"]), hg.ConfigError, "overrides", "found list"),
    "an override of nothing": (lambda: hg.run("digits", {"epochz": 3}), hg.ConfigError, None, "epochz"),
    "an override without a path": (lambda: hg.run("digits", {"": 3}), hg.ConfigError, None, "empty part"),
    "no epochs": (lambda: hg.run("digits", {"epochs": 0}), hg.ConfigError, "epochs", "1 to 1000000"),
    "an object in a dict": (lambda: hg.run("digits", {"seed": object()}), hg.ConfigError, "", "object of type object"),
    "a key that is no text": (lambda: hg.run({1: 2}), hg.ConfigError, "", "a key is a text"),
    "an integer of 80 bits": (lambda: hg.run("digits", {"seed": 2**80}), hg.ConfigError, "", "64 bits"),
    "three arrays of data": (lambda: hg.run("digits", data=(1, 2, 3)), hg.ConfigError, "data", "x_train"),
    "data of another size": (
        lambda: hg.run("digits", data=(np.zeros((4, 3)), [0] * 4, np.zeros((2, 3)), [0] * 2)), hg.ConfigError, "data", "3 inputs",
    ),
    "resume without a folder": (lambda: hg.run("digits", resume=True), hg.ConfigError, "out", "folder"),
    "no run to open": (lambda: hg.open("/nowhere"), hg.ConfigError, "", "found no run"),
    "a parameter file that is not there": (lambda: hg.Network("toy").load("/nowhere"), FileNotFoundError, None, "nowhere"),
    "a point that is none": (lambda: hg.run_point({"key": "a"}), hg.ConfigError, "", "missing"),
    "a sweep that is none": (lambda: hg.sweep("digits"), hg.ConfigError, "kind", "`train`"),
    "a comparison with nothing": (lambda: hg.compare(None, None), hg.ConfigError, "estimate", "NoneType"),
    "a trainer with epochs": (lambda: hg.Trainer("toy", epochs=3), hg.ConfigError, "epochs", "leave it out"),
    "a negative rate": (lambda: hg.Trainer("toy").step(np.zeros((1, 6)), [0], rate=-1), hg.ConfigError, "rate", "found -1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_exception(name):
    does, kind, path, text = BAD[name]
    with pytest.raises(kind) as caught:
        does()
    assert text in str(caught.value), caught.value
    if isinstance(caught.value, hg.ConfigError):
        assert path is None or caught.value.path == path, caught.value.path
        assert caught.value.found and caught.value.found in str(caught.value)
        assert caught.value.expected in str(caught.value)
    assert not isinstance(caught.value, hg.InternalError)


def test_there_are_thirty_kinds():
    assert len(BAD) >= 30


def divergence():
    model = {
        "name": "wild", "input": 1, "layers": [{"name": "a", "size": 3}, {"name": "b", "size": 2}], "activation": "identity",
        "connections": [{"from": "input", "to": "a"}, {"from": "a", "to": "b", "feedback": "tied"}], "readout": {"from": "b", "classes": 2},
    }  # fmt: skip
    net = hg.Network(model)
    params = {name: np.full(shape, 3.0) for name, shape in net.parameters.items()}
    drive = {"oscillation": {"amplitude": 0.1, "period": 100, "integrator": {"euler": {"step": 0.5}}}}
    return net.gradient(params, [[1.0]], [0], drive)


def test_a_divergence_tells_time_layer_and_neuron():
    with pytest.raises(hg.Diverged) as caught:
        divergence()
    error = caught.value
    assert error.time > 0 and error.layer in ("a", "b") and error.neuron in (0, 1, 2) and error.sample == 0
    assert error.advice and isinstance(error, hg.Error) and isinstance(error, ArithmeticError)
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == str(error) and (copied.time, copied.layer, copied.neuron) == (error.time, error.layer, error.neuron)


def test_a_message_is_that_of_the_command_line():
    with pytest.raises(hg.ConfigError) as caught:
        hg.run("digits", {"estimator.oscillation.period": -1})
    error = caught.value
    assert error.path == "estimator.oscillation.period"
    assert str(error) == f"{error.file}: at `{error.path}`: {error.found}; {error.expected}"
    assert error.file == "built-in experiments/digits.json" and error.found == "found -1"
    assert pickle.loads(pickle.dumps(error)).path == error.path


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")
@pytest.mark.parametrize("gib", [2, 3, 4])
def test_too_little_memory_is_a_memory_error(gib):
    """In a process of its own, whose address space is limited as by `ulimit -v`."""
    text = f"""
import resource
import numpy as np
import holograd as hg
hg.Network("toy").gradient(hg.Network("toy").initial(), [[0.0] * 6], [0])
resource.setrlimit(resource.RLIMIT_AS, ({gib} << 30, {gib} << 30))
small = hg.Network("toy")
told = 0
for size in (10_000, 20_000, 30_000, 60_000):
    try:
        model = {{**small.model, "layers": [{{"name": "h1", "size": size}}, {{"name": "h2", "size": size}}]}}
        net = hg.Network(model)
        net.gradient(net.initial(), np.zeros((1, 6)), [0], {{"cauchy": {{"amplitude": 0.1, "points": 4}}}}, diagnose=False)
    except MemoryError as error:
        told += 1
assert told >= 3, told
try:
    x = np.zeros((1_000_000, 6))
    small.gradient(small.initial(), x, np.zeros(len(x), int), {{"cauchy": {{"amplitude": 0.1, "points": 4096}}}}, diagnose=False)
    raise AssertionError("there was memory for it")
except MemoryError:
    pass
small.gradient(small.initial(), [[0.0] * 6], [0])
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=300, env=_few_threads())
    assert done.returncode == 0 and done.stdout == "alive\n", done.stderr


def _few_threads():
    import os

    # Each thread of a BLAS library takes address space of its own.
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "RAYON_NUM_THREADS": "2"}

"""The adjoint against automatic differentiation, which shares no code with it; gradients that drive optimisers of others."""

import numpy as np
import pytest

import holograd as hg

jax = pytest.importorskip("jax", reason="jax is not installed")
jax.config.update("jax_enable_x64", True)
jnp = jax.numpy


def cost(params, x, y, form):
    """Mean cross-entropy at the fixed point of the toy network, by iteration, from its published equations."""

    def rho(u):
        return 1 / (1 + jnp.exp(-(4 * u - 2)))

    def step(state, _):
        one, two = state
        weights = params["h1-h2.weight"]
        first = x @ params["input-h1.weight"].T + two @ weights + params["h1.bias"]
        second = one @ weights.T + params["h2.bias"]
        return (rho(first), rho(second)), None

    rest = jnp.zeros((len(x), 4))
    (_, rates), _ = jax.lax.scan(step, (rest, rest), None, length=400)
    logits = rates @ params["readout.weight"].T + params["readout.bias"]
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])


def test_the_adjoint_is_the_gradient_through_a_converged_fixed_point(toy, batch):
    x, y = batch
    for seed in range(3):
        params = toy.initial(seed)
        ours = toy.gradient(params, x, y, "adjoint").gradient
        theirs = jax.grad(cost)(params, x, y, "potential")
        worst = max(float(np.abs(ours[name] - theirs[name]).max()) for name in params)
        largest = max(float(np.abs(theirs[name]).max()) for name in params)
        assert worst < 1e-9 * max(1.0, largest), worst


def test_arrays_of_jax_go_in_and_out(toy, params, batch):
    x, y = (jnp.asarray(part) for part in batch)
    there = {name: jnp.asarray(array) for name, array in params.items()}
    gradient = toy.gradient(there, x, y).gradient
    np.testing.assert_array_equal(gradient["h1.bias"], toy.gradient(params, *batch).gradient["h1.bias"])
    np.testing.assert_array_equal(np.asarray(jnp.from_dlpack(gradient["h1-h2.weight"])), gradient["h1-h2.weight"])


def test_a_gradient_drives_optax(toy, batch):
    optax = pytest.importorskip("optax", reason="optax is not installed")
    params = {name: jnp.asarray(array) for name, array in toy.initial(seed=0).items()}
    optimiser = optax.adam(0.05)
    state = optimiser.init(params)
    drive = {"oscillation": {"amplitude": 0.3, "period": 40, "integrator": {"exponential_euler": {"step": 0.5}}}}
    before = cost(params, *batch, "potential")
    for _ in range(100):
        estimate = toy.gradient(params, *batch, drive, diagnose=False)
        updates, state = optimiser.update(estimate.gradient, state)
        params = optax.apply_updates(params, updates)
    assert cost(params, *batch, "potential") < 0.7 * before


def test_a_gradient_drives_torch(toy, batch):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    params = {name: torch.from_numpy(array).requires_grad_() for name, array in toy.initial(seed=0).items()}
    optimiser = torch.optim.SGD(params.values(), lr=1.0)
    before = cost({name: p.detach().numpy() for name, p in params.items()}, *batch, "potential")
    for _ in range(100):
        estimate = toy.gradient(params, torch.from_numpy(batch[0]), torch.from_numpy(batch[1]), diagnose=False)
        for name, p in params.items():
            p.grad = torch.from_dlpack(estimate.gradient[name])
        optimiser.step()
    assert cost({name: p.detach().numpy() for name, p in params.items()}, *batch, "potential") < before

"""Analog networks that learn by holomorphic equilibrium propagation.

>>> import holograd as hg
>>> net = hg.Network("toy")
>>> params = net.initial(seed=0)
>>> drive = {"oscillation": {"amplitude": 0.3, "period": 100}}
>>> estimate = net.gradient(params, [[0.1] * 6], [2], drive)
>>> hg.compare(estimate, net.gradient(params, [[0.1] * 6], [2], "adjoint")).cosine > 0.999
True

Times and time constants are in units of the nominal tau; weights are [receivers, senders], samples [samples, inputs]. What a JSON file
says can be said by a dict of the same shape, and is checked by the same code. The interpreter's lock is released while holograd works;
it uses as many threads as there are cores, or as RAYON_NUM_THREADS says.
"""

from ._errors import ConfigError, Diverged, Error, InternalError, Unfinished
from ._holograd import VERSION as __version__
from ._network import Agreement, Comparison, Estimate, Network, Trace, compare
from ._run import Figure, Figures, Metrics, Run, check, data, experiment, experiments, models, run, save
from ._run import open_run as open
from ._sweep import Sweep, collect, run_point, sweep
from ._trainer import Step, Trainer

__all__ = [
    "Agreement",
    "Comparison",
    "ConfigError",
    "Diverged",
    "Error",
    "Estimate",
    "Figure",
    "Figures",
    "InternalError",
    "Metrics",
    "Network",
    "Run",
    "Step",
    "Sweep",
    "Trace",
    "Trainer",
    "Unfinished",
    "__version__",
    "check",
    "collect",
    "compare",
    "data",
    "experiment",
    "experiments",
    "models",
    "open",
    "run",
    "run_point",
    "save",
    "sweep",
]

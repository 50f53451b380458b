import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from rnnrbm.backend import engine, sharding
from rnnrbm.backend.sharding import Sharding


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight devices, as far as the choice of their number is concerned."""
    monkeypatch.setattr(sharding, "available", lambda mode=None: 8)


@pytest.mark.parametrize(("rows", "n_devices"), [(1, 1), (2, 2), (6, 6), (7, 7), (9, 3), (12, 6), (13, 1), (16, 8)])
def test_the_most_devices_that_divide_the_rows(eight: None, rows: int, n_devices: int) -> None:
    assert Sharding(rows, "NUMBA").n_devices == n_devices


def test_sums_over_rows_are_not_spread_over_cores(eight: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Sharding(16, "NUMBA", sums=True).n_devices == 1
    monkeypatch.setattr(sharding, "has_gpu", lambda mode=None: True)
    assert Sharding(16, "NUMBA", sums=True).n_devices == 8


def test_one_device_in_other_modes_where_arrays_stay_as_they_are() -> None:
    assert sharding.available("NUMBA") == sharding.available("FAST_COMPILE") == 1
    x, shared = np.ones((4, 2)), engine.shared(np.ones(3), "x")
    spread = Sharding(4, "FAST_COMPILE")
    assert spread.shard(x) is x
    spread.replicate([shared])
    assert type(shared.get_value(borrow=True)) is np.ndarray


def test_each_core_is_a_device_unless_jax_was_told_otherwise() -> None:
    assert sharding.available("JAX") == len(jax.local_devices())


def test_rows_are_shared_out_and_variables_copied() -> None:
    n = sharding.available("JAX")
    x, shared = np.arange(6.0 * n, dtype=np.float32).reshape(3, 2 * n), engine.shared(np.arange(3), "x")
    spread = Sharding(2 * n, "JAX")
    placed = spread.shard(x, axis=1)
    assert {s.data.shape for s in placed.addressable_shards} == {(3, 2)}
    assert len(placed.sharding.device_set) == n
    np.testing.assert_array_equal(np.asarray(placed), x)
    spread.replicate([shared])
    value = shared.get_value(borrow=True)
    assert value.sharding.is_fully_replicated
    assert len(value.sharding.device_set) == n
    again = spread.shard(placed, axis=1)
    assert again is placed  # nothing is copied that is there already


def test_variables_move_between_layouts_and_come_back() -> None:
    shared = engine.shared([1.0, 2.0], "x")
    for rows in (2 * sharding.available("JAX"), 1):
        spread = Sharding(rows, "JAX")
        spread.replicate([shared])
        assert len(shared.get_value(borrow=True).sharding.device_set) == spread.n_devices
    sharding.release([shared])
    assert type(shared.get_value(borrow=True)) is np.ndarray
    np.testing.assert_array_equal(shared.get_value(), [1.0, 2.0])


def test_a_loan_leaves_variables_as_they_were() -> None:
    shared = engine.shared([1.0, 2.0], "x")
    before = shared.get_value(borrow=True)
    spread = Sharding(2 * sharding.available("JAX"), "JAX")

    def lend() -> None:
        with spread.replicated([shared]):
            assert len(shared.get_value(borrow=True).sharding.device_set) == spread.n_devices
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lend()
    assert shared.get_value(borrow=True) is before


SCORING = """
import sys
import numpy as np
from rnnrbm import generate, rnn_rbm
from rnnrbm.backend import sharding
from rnnrbm.scoring.likelihood import Evaluator
from rnnrbm.sampling import predict
from rnnrbm.units import Gaussian, Softmax

assert sharding.available() == 4
units = {
    "binary": {},
    "gaussian": {"cell": "tanh", "visible": Gaussian()},
    "softmax": {"cell": "sigmoid", "hidden": Softmax(3)},
}[sys.argv[1]]
model = rnn_rbm(12, 9, 5, seed=0, **units)
pieces = [np.zeros((70, 12), np.float32) for _ in range(8)]
ways = [("ais", None), ("raise", None)]
ways += [] if "hidden" in units else [("exact", None)]
ways += [] if "visible" in units else [("ais", np.eye(3, 12)), ("raise", np.eye(3, 12))]
for method, listed in ways:
    Evaluator(model, method=method, n_chains=4, n_temperatures=3, exact_states=listed)(pieces)
list(predict(model, pieces, k=2))
generate(model, 5, n_samples=8, k=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("units", ["binary", "gaussian", "softmax"])
def test_scoring_and_sampling_never_wait_for_another_device(tmp_path: Path, units: str) -> None:
    """No program that is spread over cores holds an operation that all devices must come to (see the module)."""
    environment = os.environ | {
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        "XLA_FLAGS": f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text",
        "PYTHONPATH": os.pathsep.join([str(Path(sharding.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-W", "ignore", "-c", SCORING, units]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    programs = [path.read_text() for path in tmp_path.glob("*cpu_after_optimizations.txt")]
    spread = [text for text in programs if "num_partitions=4" in text]
    assert len(spread) >= 5
    meeting = re.compile(r"= .*\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)\(")
    for text in spread:
        assert not meeting.search(text), meeting.search(text)

import jax
import numpy as np
import pytest

from rnnrbm import devices, engine
from rnnrbm.devices import Spread


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight devices, as far as the choice of their number is concerned."""
    monkeypatch.setattr(devices, "available", lambda mode=None: 8)


@pytest.mark.parametrize(("rows", "n_devices"), [(1, 1), (2, 2), (6, 6), (7, 7), (9, 3), (12, 6), (13, 1), (16, 8)])
def test_the_most_devices_that_divide_the_rows(eight: None, rows: int, n_devices: int) -> None:
    assert Spread(rows, "NUMBA").n_devices == n_devices


def test_no_more_devices_than_asked_for(eight: None) -> None:
    assert Spread(16, "NUMBA", n_devices=3).n_devices == 2


def test_one_device_in_other_modes_where_arrays_stay_as_they_are() -> None:
    assert devices.available("NUMBA") == devices.available("FAST_COMPILE") == 1
    x, shared = np.ones((4, 2)), engine.shared(np.ones(3), "x")
    spread = Spread(4, "FAST_COMPILE")
    assert spread.rows(x) is x
    spread.everywhere([shared])
    assert type(shared.get_value(borrow=True)) is np.ndarray


def test_each_core_is_a_device_unless_jax_was_told_otherwise() -> None:
    assert devices.available("JAX") == len(jax.local_devices())


def test_rows_are_shared_out_and_variables_copied() -> None:
    n = devices.available("JAX")
    x, shared = np.arange(6.0 * n, dtype=np.float32).reshape(3, 2 * n), engine.shared(np.arange(3), "x")
    spread = Spread(2 * n, "JAX")
    placed = spread.rows(x, axis=1)
    assert {s.data.shape for s in placed.addressable_shards} == {(3, 2)}
    assert len(placed.sharding.device_set) == n
    np.testing.assert_array_equal(np.asarray(placed), x)
    spread.everywhere([shared])
    value = shared.get_value(borrow=True)
    assert value.sharding.is_fully_replicated
    assert len(value.sharding.device_set) == n
    again = spread.rows(placed, axis=1)
    assert again is placed  # nothing is copied that is there already


def test_variables_move_between_layouts_and_come_back() -> None:
    shared = engine.shared([1.0, 2.0], "x")
    for rows in (2 * devices.available("JAX"), 1):
        spread = Spread(rows, "JAX")
        spread.everywhere([shared])
        assert len(shared.get_value(borrow=True).sharding.device_set) == spread.n_devices
    devices.release([shared])
    assert type(shared.get_value(borrow=True)) is np.ndarray
    np.testing.assert_array_equal(shared.get_value(), [1.0, 2.0])


def test_a_loan_leaves_variables_as_they_were() -> None:
    shared = engine.shared([1.0, 2.0], "x")
    before = shared.get_value(borrow=True)
    spread = Spread(2 * devices.available("JAX"), "JAX")

    def lend() -> None:
        with spread.copies([shared]):
            assert len(shared.get_value(borrow=True).sharding.device_set) == spread.n_devices
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lend()
    assert shared.get_value(borrow=True) is before

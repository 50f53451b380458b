"""Sharding: the rows of a batch are divided among JAX's devices, everything else is copied to each of them.

Only the mean of the loss combines rows of a batch, so a sharded batch needs no change of the compiled function: XLA
runs a part of the rows on every device and, in training, sums the gradients. The samples do not change, since a random
number depends on the index of an element in the whole array.

The devices are all GPUs that JAX finds or, without one, the processor's cores: the engine makes each core a JAX device
(see :func:`rnnrbm.backend.engine.start_jax`), because XLA runs loops over time on one core of a device. Only sampling
and scoring use cores in this way. Training must sum over devices, and sums over cores wait for each other in the
threads of one small pool: on 2 cores we saw a deadlock, after which XLA aborts.

Where several processes run together (:mod:`rnnrbm.backend.processes`), rows are divided among the devices of all of
them, in the order of the processes. In training each process uses one device of a processor, so that its sums wait for
other processes alone. Rows that cannot be divided by the number of processes are computed by each of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnnrbm.backend import engine, processes

__all__ = ["Sharding", "available", "cores", "has_gpu", "release"]


def available(mode: Any = None) -> int:
    """Return the number of devices for sharding, those of all processes; 1 in modes other than JAX."""
    if engine.resolve_mode(mode) != "JAX":
        return 1
    engine.start_jax()
    import jax

    n_devices = len(jax.local_devices())
    return n_devices if processes.count() == 1 else processes.count() * processes.fewest(n_devices)


def has_gpu(mode: Any = None) -> bool:
    """Whether programs run on a GPU by default."""
    if engine.resolve_mode(mode) != "JAX":
        return False
    engine.start_jax()
    import jax

    return jax.default_backend() != "cpu"


def cores() -> list[Any]:
    """Return the processor's cores as JAX devices; none where JAX was told not to use them."""
    import jax

    try:
        return list(jax.local_devices(backend="cpu"))
    except RuntimeError:
        return []


_ONE_THREAD = threading.RLock()


class Sharding:
    """Rows divided among devices.

    Parameters
    ----------
    rows : int
        Number of rows (sequences). They are divided among the largest number of devices that divides it.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`. In modes other than JAX nothing is moved.
    sums : bool
        The function sums over rows. Processor cores are then not used as devices (see above).
    devices : list of JAX devices or None
        None stands for all devices of JAX's default kind. With devices that are named, which are of this process, each
        process computes all rows.

    Attributes
    ----------
    n_devices, n_processes : int
        Devices and processes among which the rows are divided.
    own : slice
        The rows of this process.
    """

    def __init__(self, rows: int, mode: Any = None, *, sums: bool = False, devices: list[Any] | None = None) -> None:
        self._jax = engine.resolve_mode(mode) == "JAX"
        n_devices = available(mode) if devices is None else len(devices)
        n = processes.count() if devices is None and self._jax else 1
        n_devices //= n
        if rows % n:
            n = 1
        most = 1 if sums and not has_gpu(mode) else min(rows // n, n_devices)
        per_process = next(d for d in range(max(1, most), 0, -1) if (rows // n) % d == 0)
        self._anywhere = devices is None and n == 1
        self.n_processes, self.n_devices = n, n * per_process
        part = rows // n
        self.own = slice(processes.index() * part, (processes.index() + 1) * part) if n > 1 else slice(None)
        if self._jax:
            import jax
            from jax.sharding import AxisType, Mesh

            if n > 1:
                of = [[d for d in jax.devices() if d.process_index == i] for i in range(n)]
                chosen = [d for each in of for d in sorted(each, key=lambda d: d.id)[:per_process]]
            else:
                chosen = (jax.local_devices() if devices is None else devices)[:per_process]
            # not jax.make_mesh, which may change the order of the devices
            self._mesh = Mesh(np.array(chosen), ("rows",), axis_types=(AxisType.Auto,))

    def _sharding(self, axis: int | None) -> Any:
        from jax.sharding import NamedSharding, PartitionSpec

        return NamedSharding(self._mesh, PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "rows"))

    def _place(self, x: Any, axis: int | None) -> Any:
        import jax

        sharding = self._sharding(axis)
        if isinstance(x, jax.Array) and x.sharding == sharding:
            return x
        if self.n_processes == 1:
            return jax.device_put(processes.whole(x), sharding)
        x = engine.to_numpy(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda place: x[place])

    def assemble(self, x: np.ndarray, axis: int = 0) -> Any:
        """Make one array of the rows of all processes, of which each gives its own (see :attr:`own`)."""
        if self.n_processes == 1:
            return self.shard(x, axis)
        import jax

        shape = [n * self.n_processes if i == axis else n for i, n in enumerate(x.shape)]
        return jax.make_array_from_process_local_data(self._sharding(axis), x, tuple(shape))

    def shard(self, x: Any, axis: int = 0) -> Any:
        """Divide an array along `axis`, so that each device holds a part of the rows."""
        if self._anywhere and self.n_devices == 1 and isinstance(x, np.ndarray):
            return x  # a compiled function takes it to the one device at less cost
        return self._place(x, axis) if self._jax else x

    def replicate(self, variables: Iterable[Any]) -> None:
        """Copy shared variables to each device; compiled functions leave the variables that they update there.

        Without this, a variable that is never updated, such as data, would be copied to a GPU at every call.
        """
        if self._jax:
            for variable in variables:
                # set_value would turn the array into a NumPy array
                variable.container.storage[0] = self._place(variable.get_value(borrow=True), None)

    def settle(self, variables: Iterable[Any]) -> None:
        """Replicate variables that a compiled function has left divided among processes.

        Then each process can read them by itself.
        """
        if self.n_processes > 1:
            self.replicate(variables)

    @contextmanager
    def at_home(self, variables: Iterable[Any]) -> Iterator[None]:
        """Within the block, let variables that several processes share hold NumPy arrays.

        Any compiled function can then use them, in each process by itself.
        """
        variables = list(variables) if self.n_processes > 1 else []
        release(variables)
        yield
        self.replicate(variables)

    @contextmanager
    def replicated(self, variables: Iterable[Any], values: Mapping[Any, Any] | None = None) -> Iterator[None]:
        """Replicate shared variables within the block; afterwards they hold their earlier arrays.

        For functions that update none of them. A user's own functions then find the variables unchanged. One thread at
        a time is in such a block, since threads may share a model, or an object with a random stream; `values` are
        assigned there first.
        """
        with _ONE_THREAD:
            variables = list(variables)
            for variable, value in (values or {}).items():
                variable.set_value(value)
            before = [variable.container.storage[0] for variable in variables]
            self.replicate(variables)
            try:
                yield
            finally:
                for variable, value in zip(variables, before, strict=True):
                    variable.container.storage[0] = value


def release(variables: Iterable[Any]) -> None:
    """Turn the values of shared variables into NumPy arrays, which work with arrays on any device."""
    for variable in variables:
        variable.set_value(engine.to_numpy(variable), borrow=True)

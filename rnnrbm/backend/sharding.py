"""Where arrays lie: the rows of a batch spread over JAX's devices, everything else copied to each of them.

Nothing in a model mixes the rows of a batch except the mean of the loss, so a batch that is spread goes through the
compiled function of one device as it is: XLA runs a share of the rows on every device and, in training, sums the
gradients. The samples are the same, since a random number depends on the place of an element in the whole array.

The devices are all GPUs that JAX sees or, without one, the processor's cores: the engine lets JAX treat each core as a
device (see :func:`rnnrbm.backend.engine.function`), because XLA runs loops over time on one core of a device. Cores are
used so for sampling and scoring only. Training has to sum over devices, and where the devices are cores XLA's sums
wait for each other in the threads of one small pool: on 2 cores that was seen to come to a standstill, after which XLA
aborts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rnnrbm.backend import engine

__all__ = ["Sharding", "available", "release"]


def available(mode: Any = None) -> int:
    """Return how many devices there are to spread over: 1 in other modes than JAX."""
    if engine.resolve_mode(mode) != "JAX":
        return 1
    engine.start_jax()
    import jax

    return len(jax.local_devices())


def _cores_only(mode: Any) -> bool:
    if available(mode) == 1:
        return True
    import jax

    return jax.default_backend() == "cpu"


class Sharding:
    """Rows over devices.

    Parameters
    ----------
    rows : int
        How many rows (sequences) there are. They are spread over the largest number of devices that divides it.
    mode : str or None
        See :func:`rnnrbm.backend.engine.function`. In other modes than JAX nothing is moved.
    sums : bool
        The function sums over rows: cores of a processor are then not used as devices (see above).
    """

    def __init__(self, rows: int, mode: Any = None, *, sums: bool = False) -> None:
        most = 1 if sums and _cores_only(mode) else min(rows, available(mode))
        self.n_devices = next(n for n in range(max(1, most), 0, -1) if rows % n == 0)
        self._jax = engine.resolve_mode(mode) == "JAX"
        if self._jax:
            import jax
            from jax.sharding import AxisType

            devices = jax.local_devices()[: self.n_devices]
            self._mesh = jax.make_mesh((self.n_devices,), ("rows",), (AxisType.Auto,), devices=devices)

    def _place(self, x: Any, axis: int | None) -> Any:
        import jax
        from jax.sharding import NamedSharding, PartitionSpec

        spec = PartitionSpec() if axis is None else PartitionSpec(*[None] * axis, "rows")
        sharding = NamedSharding(self._mesh, spec)
        if isinstance(x, jax.Array) and x.sharding == sharding:
            return x
        return jax.device_put(x, sharding)

    def shard(self, x: Any, axis: int = 0) -> Any:
        """Place an array so that each device holds its share of the rows, which are counted along `axis`."""
        return self._place(x, axis) if self._jax else x

    def replicate(self, variables: Iterable[Any]) -> None:
        """Copy the values of shared variables to each device; compiled functions leave what they update there.

        Without this, a variable that is never updated (data, say) would be copied to a GPU at every call.
        """
        if self._jax:
            for variable in variables:
                # set_value would turn the array back into a NumPy one
                variable.container.storage[0] = self._place(variable.get_value(borrow=True), None)

    @contextmanager
    def replicated(self, variables: Iterable[Any]) -> Iterator[None]:
        """Have shared variables on each device for a while; afterwards they hold what they held before.

        For functions that update none of them: a user's own functions then find them where they were.
        """
        variables = list(variables)
        before = [variable.container.storage[0] for variable in variables]
        self.replicate(variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.container.storage[0] = value


def release(variables: Iterable[Any]) -> None:
    """Bring the values of shared variables back to NumPy, so that they go with arrays on any device."""
    for variable in variables:
        variable.set_value(engine.to_numpy(variable), borrow=True)

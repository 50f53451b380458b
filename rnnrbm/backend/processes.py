"""Several processes, on one machine or on several, that run one program together.

All processes run the same Python in the same order, each with devices of its own, as ``jax.distributed`` has it.
:mod:`rnnrbm.backend.sharding` divides rows among the devices of all of them. Process 0 is the lead: it alone writes
files. What decides how the program goes on, such as a validation score or Ctrl-C, is exchanged, so that all processes
decide the same.

If a process is lost, the others end with an error: at once where they wait for its numbers, and after
:data:`HEARTBEAT` seconds where they do not. JAX's own coordination service then ends them, with a message of its own.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import math
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "CONNECT",
    "HEARTBEAT",
    "LostProcess",
    "Refused",
    "agree",
    "agreed",
    "announce",
    "count",
    "detected",
    "end",
    "fewest",
    "from_lead",
    "gather",
    "index",
    "is_lead",
    "meet",
    "naming_losses",
    "same_numbers",
    "start",
    "whole",
]

#: Seconds to wait for the other processes when they start.
CONNECT = 50.0

#: Seconds after which a process that gives no sign of life is lost.
HEARTBEAT = 30

#: Processes ask each other about this often, in seconds, whether one of them should stop.
_ASK_EVERY = 1.0

#: variables of the environment in which a cluster's launcher gives the number of processes, and one more that must be
#: there, which a shell inside an allocation lacks
_LAUNCHERS = {"SLURM_NTASKS": "SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK"}

#: what the errors of a lost process have in their texts
_LOST = re.compile(r"gloo|nccl|connection (reset|closed|refused)|heartbeat|coordination|socket closed", re.IGNORECASE)


class LostProcess(RuntimeError):
    """Another process has ended or cannot be reached, so this one cannot go on."""


class Refused(ValueError):
    """What the processes were given does not fit together; all of them raise this error."""


class _Joined(NamedTuple):
    number: int
    of: int


_joined = _Joined(0, 1)
_announced = False


def index() -> int:
    """Return the number of this process, counted from 0."""
    return _joined.number


def count() -> int:
    """Return the number of processes; 1 unless :func:`start` was called."""
    return _joined.of


def is_lead() -> bool:
    """Whether this is process 0, which writes files."""
    return _joined.number == 0


def detected() -> bool:
    """Whether a cluster's launcher (``srun``, ``mpirun``) has started this process as one of several."""
    sizes = [os.environ.get(size, "") for size, other in _LAUNCHERS.items() if other in os.environ]
    if any(size.isdigit() and int(size) > 1 for size in sizes):
        return True
    # an indexed job of Kubernetes
    return "KUBERNETES_SERVICE_HOST" in os.environ and "JOB_COMPLETION_INDEX" in os.environ


def start(
    coordinator: str | None = None,
    n_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout: float = CONNECT,
    waits: Callable[[], Any] | None = None,
) -> None:
    """Join the other processes. Call it before JAX computes anything.

    Without arguments, ``jax.distributed`` finds them under SLURM, Open MPI and Kubernetes.

    Parameters
    ----------
    coordinator : str or None
        ``"HOST:PORT"`` of process 0, as the other processes reach it. Any free port will do. The connection is neither
        encrypted nor protected by a password, so it should not be open to the internet.
    n_processes : int or None
        Number of processes.
    process_id : int or None
        Number of this one, from 0.
    timeout : float
        Seconds to wait for the others, at least 1.
    waits : callable or None
        Called when an address was given and the arguments are right, before the others are waited for.

    Raises
    ------
    ValueError
        If arguments are missing or impossible.
    TimeoutError
        If nobody answers at the address of the coordinator.
    RuntimeError
        If processes were joined already, or JAX has been used.

    Notes
    -----
    If the coordinator answers but others do not come, a message says so and the process ends with exit code 1. JAX
    allows no exception there.
    """
    global _joined
    given = (coordinator, n_processes, process_id)
    if any(x is not None for x in given) and any(x is None for x in given):
        raise ValueError(
            "give coordinator, processes and process_id together, or none of them where a launcher such as srun has "
            f"started the processes; got {coordinator}, {n_processes} and {process_id}"
        )
    if timeout < 1:
        raise ValueError(f"timeout must be at least 1 second, got {timeout:g}")
    if count() > 1:
        raise RuntimeError("processes were joined already; start() can be called once")
    if coordinator is not None:
        assert n_processes is not None
        assert process_id is not None
        host, port = _address(coordinator)
        if n_processes < 1 or not 0 <= process_id < n_processes:
            raise ValueError(
                f"process {process_id} of {n_processes}: expected a number from 0 to {n_processes - 1}, and at least "
                "one process"
            )
        if n_processes == 1:
            return
        if waits is not None:
            waits()
        began = time.monotonic()
        if process_id == 0:
            _check_free(host, port)
        else:
            _wait_for(host, port, timeout)
        timeout = max(1.0, timeout - (time.monotonic() - began))
    _initialize(coordinator, n_processes, process_id, timeout)


def _address(coordinator: str) -> tuple[str, int]:
    host, colon, port = coordinator.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ValueError(f"coordinator {coordinator!r}: expected HOST:PORT, such as node1:29500")
    return host, int(port)


def _check_free(host: str, port: int) -> None:
    """Raise OSError if this process cannot listen at the port."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", port))
    except OSError as error:
        raise OSError(f"{host}:{port}: process 0 cannot listen there ({error.strerror}); choose another port") from None


def _wait_for(host: str, port: int, timeout: float) -> None:
    """Wait until something listens at an address."""
    until, reason = time.monotonic() + timeout, ""
    while (left := until - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=max(0.1, min(5.0, left))):
                return
        except OSError as error:
            reason = error.strerror or str(error)
        time.sleep(min(0.2, max(0.0, until - time.monotonic())))
    raise TimeoutError(
        f"{host}:{port}: no coordinator answers there after {timeout:.0f} seconds ({reason}); start process 0 on that "
        "machine with the same address, and see that the port is open"
    )


def _initialize(coordinator: str | None, n_processes: int | None, process_id: int | None, timeout: float) -> None:
    global _joined
    import jax

    for name, value in (
        ("jax_cpu_collectives_implementation", "gloo"),
        ("jax_enable_preemption_service", False),  # it would take over SIGTERM
    ):
        with contextlib.suppress(AttributeError):
            jax.config.update(name, value)
    options: dict[str, Any] = {
        "initialization_timeout": math.ceil(timeout) + 10,  # the watch is first, since JAX would abort the process
        "heartbeat_timeout_seconds": HEARTBEAT,
        "shutdown_timeout_seconds": 300,
    }
    if coordinator is not None and _address(coordinator)[0] in ("localhost", "127.0.0.1"):
        options["coordinator_bind_address"] = coordinator  # no other machine needs to reach it
    known = inspect.signature(jax.distributed.initialize).parameters
    others = "the other processes" if n_processes is None else f"all {n_processes} processes"
    watch = threading.Timer(
        timeout,
        _give_up,
        [
            f"error: {others} did not come together within {timeout:.0f} seconds; start each of them, with a number of "
            "its own and the same coordinator"
        ],
    )
    watch.daemon = True
    watch.start()
    try:
        jax.distributed.initialize(
            coordinator, n_processes, process_id, **{key: value for key, value in options.items() if key in known}
        )
    finally:
        watch.cancel()
    from jax._src import distributed  # JAX has no public name for these before its backend is there

    state = distributed.global_state
    _joined = _Joined(int(state.process_id), int(state.num_processes))
    sys.excepthook = functools.partial(_end_after, sys.excepthook)


def _give_up(text: str) -> None:
    os.write(2, f"{text}\n".encode())
    os._exit(1)


def _end_after(hook: Callable[..., Any], *error: Any) -> None:
    """Let an exception that nobody handles end the process at once: at its end JAX would wait for the others."""
    hook(*error)
    end(1, together=False)


def end(code: int, *, together: bool) -> None:
    """End this process, unless it is the only one.

    Parameters
    ----------
    code : int
        Exit code.
    together : bool
        All processes are here, so each waits for the others. Otherwise it ends at once, and the others are to find out,
        unless it has announced that.
    """
    if count() == 1:
        return
    if together or _announced:
        import jax

        with contextlib.suppress(Exception):
            meet()
            jax.distributed.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def naming_losses() -> Iterator[None]:
    """Raise :class:`LostProcess` in the place of the errors that JAX raises when another process is lost."""
    try:
        yield
    except LostProcess:
        raise
    except Exception as error:
        if count() == 1 or not _LOST.search(str(error)):
            raise
        reason = str(error).strip().splitlines()[0][:160]
        raise LostProcess(
            f"process {index()} of {count()} has lost another process, so all end; its own output says why it has "
            f"ended ({reason})"
        ) from error


@functools.cache
def _exchange() -> tuple[Any, Any, Any]:
    """One device of each process, and programs that give all processes the rows of all, or their sum."""
    import jax
    from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

    devices = [min((d for d in jax.devices() if d.process_index == i), key=lambda d: d.id) for i in range(count())]
    mesh = Mesh(np.array(devices), ("processes",), axis_types=(AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    rows = jax.jit(lambda x: x, out_shardings=everywhere)
    total = jax.jit(lambda x: x.sum(0, dtype=x.dtype), out_shardings=everywhere)
    return NamedSharding(mesh, PartitionSpec("processes")), rows, total


def _run(which: int, own: np.ndarray) -> np.ndarray:
    """Run a program of :func:`_exchange` on one row of each process."""
    import jax

    placed = _exchange()[0]
    with naming_losses():
        x = jax.make_array_from_process_local_data(placed, own[None], (count(), *own.shape))
        return np.array(_exchange()[which](x).addressable_data(0))


def _padded(own: bytes, size: int) -> np.ndarray:
    """Bytes as an array whose length is one of a few, since each length is a program."""
    room = 1 << max(6, (size - 1).bit_length())
    if room > 2**20:  # in steps of an eighth
        room = -(-size // (room // 16)) * (room // 16)
    return np.frombuffer(own.ljust(room, b"\0"), np.uint8)


def gather(own: bytes) -> list[bytes]:
    """Return the bytes of all processes, in their order. All of them must call it."""
    if count() == 1:
        return [own]
    sizes = _run(1, np.frombuffer(len(own).to_bytes(8, "little"), np.uint8))
    lengths = [int.from_bytes(row.tobytes(), "little") for row in sizes]
    if not max(lengths):
        return [b""] * count()
    rows = _run(1, _padded(own, max(lengths)))
    return [row.tobytes()[:length] for row, length in zip(rows, lengths, strict=True)]


def from_lead(own: bytes) -> bytes:
    """Return the bytes of process 0; what the others give is ignored. All processes must call it."""
    if count() == 1:
        return own
    (size,) = {int.from_bytes(x, "little") for x in gather(len(own).to_bytes(8, "little"))[:1]}
    return _run(2, _padded(own if is_lead() else b"", size)).tobytes()[:size]  # nothing but zeros is added


def meet() -> None:
    """Wait until all processes are here."""
    gather(b"")


@functools.cache
def fewest(n_devices: int) -> int:
    """Return the least number of devices that a process has, so that all use as many. All processes must call it."""
    return min(int(x) for x in gather(str(n_devices).encode()))


def whole(value: Any) -> Any:
    """Return an array with all its elements: those that other processes have are fetched. All processes must call it.

    An array of this process alone is returned as it is.
    """
    if count() == 1:
        return value
    import jax

    if not isinstance(value, jax.Array) or value.is_fully_addressable:
        return value
    with naming_losses():
        if value.is_fully_replicated:
            return np.array(value.addressable_data(0))
        places: dict[Any, Any] = {}
        for shard in value.addressable_shards:  # by where they begin
            places.setdefault(tuple(part.start or 0 for part in shard.index), shard)
        shards = [places[start] for start in sorted(places)]
        axes = [i for i, n in enumerate(value.shape) if shards[0].data.shape[i] != n]
        if len(axes) != 1:
            raise ValueError(f"an array is divided along {len(axes)} of its axes, expected 1: {value.sharding}")
        own = np.concatenate([np.asarray(shard.data) for shard in shards], axis=axes[0])
    parts = [np.frombuffer(part, own.dtype).reshape(own.shape) for part in gather(np.ascontiguousarray(own).tobytes())]
    return np.concatenate(parts, axis=axes[0])


def announce(own: bytes) -> list[bytes]:
    """Gather bytes that tell the others of an error of this process, which then ends together with them."""
    global _announced
    _announced = True
    return gather(own)


def agree(facts: Mapping[str, Any], advice: str) -> None:
    """Raise Refused unless facts are equal in all processes.

    Parameters
    ----------
    facts : mapping of str to values that JSON can hold
        For example settings and a hash of the data.
    advice : str
        What to do where they differ.
    """
    records = [json.loads(text) for text in gather(json.dumps(dict(facts)).encode())]
    said = []
    for key in dict.fromkeys(key for record in records for key in record):
        values = [record.get(key) for record in records]
        i = next((i for i, value in enumerate(values) if value != values[0]), None)
        if i is not None:
            said.append(f"{key} is {_short(values[i])} in process {i} and {_short(values[0])} in process 0")
    if said:
        more = f", and {len(said) - 3} more" if len(said) > 3 else ""
        raise Refused(f"the processes differ: {'; '.join(said[:3])}{more}; {advice}")


def _short(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value[:12]
    return f"{value!r:.60}"


class _Agreed:
    """Asks all processes whether one of them should stop, about every second."""

    def __init__(self, stop: Callable[[], bool] | None) -> None:
        self._stop = stop
        self._calls, self._next, self._asked = 0, 1, time.monotonic()

    def __call__(self) -> bool:
        self._calls += 1
        if self._calls < self._next:
            return False
        own = self._stop is not None and self._stop()
        seconds = time.monotonic() - self._asked
        rate = round(self._calls * _ASK_EVERY / max(seconds, 1e-3))
        answers = gather(bytes([own]) + min(max(rate, 1), 1000).to_bytes(2, "little"))
        self._calls, self._next, self._asked = 0, int.from_bytes(answers[0][1:], "little"), time.monotonic()
        return any(answer[0] for answer in answers)


def agreed(stop: Callable[[], bool] | None) -> Callable[[], bool] | None:
    """Return a `stop` that answers the same in all processes: True if one of them is to stop.

    All processes must call it equally often. It asks the others about once a second.
    """
    return stop if count() == 1 else _Agreed(stop)


def same_numbers(numbers: Sequence[float]) -> tuple[float, ...]:
    """Return the numbers of process 0: processors may differ in the last digit, and decisions must not."""
    return tuple(np.frombuffer(from_lead(np.array(numbers, np.float64).tobytes()), np.float64).tolist())

"""Compiling: the one place that decides which engine runs a graph.

The default is PyTensor's JAX mode, on CPU and GPU alike. An explicit argument wins, then PyTensor's own
configuration (``PYTENSOR_FLAGS=mode=NUMBA``), then the default.

Importing this module sets PyTensor's ``floatX`` to ``float32``, unless ``PYTENSOR_FLAGS`` sets it (or
``pytensor.config.floatX`` is set after the import): with PyTensor's default of float64 the JAX engine computes some
intermediate results of float32 graphs in float64, which then spread to the parameters and halve the speed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.mode import Mode, predefined_modes
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.traversal import graph_inputs
from pytensor.tensor.variable import TensorVariable

from rnnrbm.files import cache_folder

__all__ = [
    "Updates",
    "before",
    "block",
    "cache_folder",
    "describe",
    "function",
    "leading",
    "resolve_mode",
    "shared",
    "shared_inputs",
    "start_jax",
    "to_numpy",
]

DEFAULT_MODE = "JAX"

#: Most cores to be used as devices of their own: small batches do not divide further.
MOST_CPU_DEVICES = 8

#: {shared variable: its next value}; merged with ``|``
Updates = dict[Any, Any]

if type(pytensor.config).floatX.is_default:  # type: ignore[attr-defined]
    pytensor.config.floatX = "float32"


def leading(x: TensorVariable) -> tuple[int, ...]:
    """All sizes of a tensor but the last, for a reshape, in which one may be left open.

    JAX wants numbers, or an array's own shape; a shape that PyTensor has to work out draws warnings.
    """
    return tuple(-1 if size is None else size for size in x.type.shape[:-1])


def resolve_mode(mode: str | Mode | None = None) -> str | Mode:
    """Return the mode to compile with.

    Parameters
    ----------
    mode : str, pytensor Mode or None
        ``"JAX"``, ``"NUMBA"``, ``"FAST_COMPILE"`` ... or a Mode object; None asks PyTensor's configuration,
        and where that says nothing the answer is ``"JAX"``.

    Raises
    ------
    ValueError
        If no mode has that name.
    """
    if mode is None:
        mode = pytensor.config.mode if pytensor.config.mode != "Mode" else DEFAULT_MODE
    if isinstance(mode, str) and mode not in predefined_modes:
        known = ", ".join(sorted(m for m in predefined_modes if m))
        raise ValueError(f"mode {mode!r} is not one of PyTensor's: {known}; the usual ones are JAX and NUMBA")
    return mode


def _shorten_nested_traces() -> None:
    """Let JAX mode keep only the last state of a scan inside a scan, as it does for outer ones.

    PyTensor applies to the inner graph of a scan no rewrite tagged "numba", and the one that shortens traces is, so a
    Gibbs chain inside the scan over time would store all its k states: generating took twice as long.
    """
    from pytensor.compile.mode import optdb
    from pytensor.graph.rewriting.basic import dfs_rewriter
    from pytensor.scan.rewriting import scan_reduce_trace_no_prealloc

    if "rnnrbm_shorten_nested_traces" not in optdb:
        rewriter = dfs_rewriter(scan_reduce_trace_no_prealloc, ignore_newtrees=True)
        optdb.register("rnnrbm_shorten_nested_traces", rewriter, "jax", use_db_name_as_tag=False, position=1.612)


def start_jax() -> None:
    """Set JAX up, before its first use: programs kept on disk, and a device for each core of the processor.

    A user's own settings (``JAX_COMPILATION_CACHE_DIR``, ``JAX_NUM_CPU_DEVICES``) win, and where JAX is running already
    its devices stay as they are. See also :func:`_keep_memory`.
    """
    import jax

    _keep_memory()
    # Programs compiled by an earlier run are read back: a second run starts in seconds.
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices < 1 and not told:  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):  # JAX is running
            jax.config.update("jax_num_cpu_devices", min(MOST_CPU_DEVICES, _usable_cores()))


@functools.cache
def _keep_memory() -> None:
    """Let the allocator of this process keep memory that programs give back, where it is glibc's.

    A program on a CPU allocates its intermediate results anew in every call. By default glibc takes large ones from the
    system and returns them at once, and the system clears them page by page as they are written: a third of the time of
    a step with large ones. Kept are up to 2 GB that were in use before. A user's own ``MALLOC_...`` or
    ``GLIBC_TUNABLES`` win.
    """
    own = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if own or any(name.startswith("MALLOC_") for name in os.environ) or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    # numbers of malloc.h: nothing by mmap; one heap for all threads, as others cannot hold large pieces; do not trim it
    for option, value in ((-4, 0), (-8, 1), (-1, 2**31 - 1)):
        mallopt(option, value)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_before: dict[str, list[Callable[[], None]]] = {}


def before(mode: str, prepare: Callable[[], None]) -> None:
    """Have something done before each compilation in a mode: an Op teaches an engine what it is, say."""
    _before.setdefault(mode, []).append(prepare)


def _prepare(mode: str | Mode) -> None:
    for prepare in _before.get(mode, []) if isinstance(mode, str) else []:
        prepare()
    if mode == "NUMBA":
        from numba.core.errors import NumbaPerformanceWarning

        # of products with a transposed matrix, which nobody who reads it can change
        warnings.filterwarnings("ignore", r"(?s).*is faster on contiguous arrays", NumbaPerformanceWarning)
    elif mode == "JAX":
        start_jax()
        _shorten_nested_traces()
        # PyTensor sums float32 in float64, and counts in int64; without 64-bit types JAX takes those of 32 bits and
        # says so each time.
        warnings.filterwarnings("ignore", "Explicitly requested dtype (float64|int64)", UserWarning)


def function(
    inputs: Sequence[Any],
    outputs: Any = None,
    updates: Mapping[Any, Any] | None = None,
    *,
    mode: str | Mode | None = None,
    **options: Any,
) -> Any:
    """Compile a graph: ``pytensor.function`` in the mode of :func:`resolve_mode`.

    Parameters
    ----------
    inputs, outputs, updates
        As for ``pytensor.function``; `updates` is a dict from shared variables to expressions.
    mode : str, pytensor Mode or None
        See :func:`resolve_mode`.
    **options
        Handed on to ``pytensor.function``.

    Returns
    -------
    callable
        In JAX mode it returns before the result is there; see :func:`block`.
    """
    mode = resolve_mode(mode)
    _prepare(mode)
    return pytensor.function(list(inputs), outputs, updates=dict(updates or {}), mode=mode, **options)


def shared(value: Any, name: str, dtype: Any = None) -> Any:
    """Make a shared variable with its full static shape, which JAX needs and PyTensor does not infer.

    The type is `dtype`; ``None`` stands for PyTensor's ``floatX``.
    """
    array = np.array(value, dtype=dtype or pytensor.config.floatX)
    return pytensor.shared(array, name=name, shape=array.shape)


def shared_inputs(outputs: Iterable[Any]) -> list[Any]:
    """Return the shared variables that expressions depend on, each once."""
    return [x for x in graph_inputs(outputs) if isinstance(x, SharedVariable)]


def to_numpy(value: Any) -> np.ndarray:
    """Return a NumPy copy of a shared variable's value or of an array of any engine."""
    if isinstance(value, SharedVariable):
        value = value.get_value()
    return np.array(value)


def block(value: Any) -> Any:
    """Wait until results of a compiled function are computed, and return them.

    JAX calls are asynchronous: time nothing without this.
    """
    import jax

    return jax.block_until_ready(value)


def describe(mode: str | Mode | None = None) -> str:
    """Return a line for logs: the mode, the device and the versions of the engine."""
    mode = resolve_mode(mode)
    line = f"PyTensor {pytensor.__version__}, mode {mode}"
    if mode == "JAX":
        start_jax()
        import jax

        device = jax.devices()[0]
        line += f", JAX {jax.__version__} on {device.device_kind} ({len(jax.devices())} {device.platform})"
    return line

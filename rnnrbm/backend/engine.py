"""Compiling graphs: this module alone decides which engine runs a graph.

The default is PyTensor's JAX mode, on CPU and GPU alike. An explicit argument takes precedence, then PyTensor's own
configuration (``PYTENSOR_FLAGS=mode=NUMBA``), then the default.

Importing this module sets PyTensor's ``floatX`` to ``float32``, unless ``PYTENSOR_FLAGS`` sets it; you can also set
``pytensor.config.floatX`` after the import. With PyTensor's default of float64 the JAX engine computes some
intermediate results of float32 graphs in float64, which then spread to the parameters and halve the speed.

By default JAX rounds the factors of float32 matrix products on a GPU to 10 bits of mantissa (TF32). Then samples,
gradients and scores differ from those of a CPU. The functions compiled here use full float32 products, unless one is
compiled with another precision. Your own setting of JAX's precision takes precedence over the default. Other JAX code
in the process keeps JAX's default.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import itertools
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytensor
import pytensor.link.utils
from pytensor.compile.mode import Mode, get_mode, predefined_modes
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.link.jax.linker import JAXLinker
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import processes, programs
from rnnrbm.backend.programs import shared_inputs
from rnnrbm.files import atomic, cache_folder

__all__ = [
    "Updates",
    "before",
    "block",
    "cache_folder",
    "check_process",
    "describe",
    "forget_programs",
    "function",
    "large_results_kept",
    "leading",
    "resolve_mode",
    "shared",
    "shared_inputs",
    "start_jax",
    "to_numpy",
]

DEFAULT_MODE = "JAX"

#: Names of the precisions of matrix products, and JAX's names for them
PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bf16": "bfloat16"}

#: Most cores to use as separate devices: small batches do not divide further.
MOST_CPU_DEVICES = 8

#: {shared variable: its next value}; merge with ``|``
Updates = dict[Any, Any]

if type(pytensor.config).floatX.is_default:  # type: ignore[attr-defined]
    pytensor.config.floatX = "float32"


def leading(x: TensorVariable) -> tuple[int, ...]:
    """All sizes of a tensor but the last, for a reshape; at most one may be unknown, -1.

    JAX needs numbers or an array's own shape; a shape that PyTensor has to compute causes warnings.
    """
    return tuple(-1 if size is None else size for size in x.type.shape[:-1])


def resolve_mode(mode: str | Mode | None = None) -> str | Mode:
    """Return the mode to compile with.

    Parameters
    ----------
    mode : str, pytensor Mode or None
        ``"JAX"``, ``"NUMBA"``, ``"FAST_COMPILE"`` ... or a Mode object; None takes the mode of PyTensor's
        configuration, and ``"JAX"`` if the configuration sets none.

    Raises
    ------
    ValueError
        If no mode has that name.
    TypeError
        If it is neither a name nor a mode.
    """
    if mode is None:
        mode = pytensor.config.mode if pytensor.config.mode != "Mode" else DEFAULT_MODE
    if not isinstance(mode, (str, Mode)):
        raise TypeError(f"mode={mode!r}: expected a name, such as JAX or NUMBA, a PyTensor Mode, or None")
    if isinstance(mode, str) and mode not in predefined_modes:
        known = ", ".join(sorted(m for m in predefined_modes if m))
        raise ValueError(f"mode {mode!r} is not one of PyTensor's: {known}; the usual ones are JAX and NUMBA")
    return mode


def _shorten_nested_traces() -> None:
    """Let JAX mode store only the last state of a scan inside a scan, as it does for outer scans.

    PyTensor skips rewrites tagged "numba" in the inner graph of a scan, and the rewrite that shortens traces is one. A
    Gibbs chain inside the scan over time would store all its k states and double the time of generation.
    """
    from pytensor.compile.mode import optdb
    from pytensor.graph.rewriting.basic import dfs_rewriter
    from pytensor.scan.rewriting import scan_reduce_trace_no_prealloc

    if "rnnrbm_shorten_nested_traces" not in optdb:
        rewriter = dfs_rewriter(scan_reduce_trace_no_prealloc, ignore_newtrees=True)
        optdb.register("rnnrbm_shorten_nested_traces", rewriter, "jax", use_db_name_as_tag=False, position=1.612)


_sources = itertools.count()


@contextlib.contextmanager
def _no_file(**options: Any) -> Iterator[Any]:
    """Stand in for the temporary file of a generated source: yield its name and a `write` that does nothing."""
    yield SimpleNamespace(name=f"<pytensor {next(_sources)}>", write=len)


def _keep_sources_in_memory() -> None:
    """Let PyTensor compile the Python code that it generates without a file for each function.

    PyTensor writes every source to a temporary file, reads none of them and deletes none: more than a hundred files for
    each run. A full disk would stop the compilation.
    """
    for name in ("pytensor.link.utils", "pytensor.link.numba.cache"):
        if hasattr(sys.modules.get(name), "NamedTemporaryFile"):
            sys.modules[name].NamedTemporaryFile = _no_file  # type: ignore[attr-defined]


def _jax_precision(precision: str | None = None) -> str:
    """Return JAX's name for a precision of matrix products; None is the user's own setting of JAX, or full float32."""
    import jax

    own: str | None = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return PRECISIONS[precision] if precision else own or PRECISIONS["float32"]


class _PreciseJAXLinker(JAXLinker):
    """PyTensor's link to JAX, with a precision of matrix products."""

    def __init__(self, precision: str | None) -> None:
        super().__init__()
        self.precision = precision

    def jit_compile(self, fn: Callable[..., Any]) -> Any:
        import jax

        def precise(*arguments: Any) -> Any:
            with jax.default_matmul_precision(_jax_precision(self.precision)):
                return fn(*arguments)

        compiled = super().jit_compile(precise)

        @functools.wraps(compiled)
        def run(*arguments: Any) -> Any:
            _check_process(uses_jax=True)
            return compiled(*arguments)

        return run


#: the process in which JAX has run a program
_process: int | None = None


def _check_process(*, uses_jax: bool) -> None:
    """Raise RuntimeError in a process that was forked after JAX had run: it would wait for threads that it lacks."""
    global _process
    if _process not in (None, os.getpid()):
        raise RuntimeError(
            "this process was forked from one that had used JAX, whose threads it lacks, so it would wait for ever; "
            'start processes by multiprocessing.get_context("spawn"), or fork before the first use of rnnrbm'
        )
    if uses_jax:
        _process = os.getpid()


def check_process(mode: str | Mode | None = None) -> None:
    """Raise RuntimeError if this process was forked from one that had used JAX, and `mode` needs JAX."""
    if resolve_mode(mode) == "JAX":
        _check_process(uses_jax=False)


@functools.cache
def _jax_mode(precision: str | None) -> Mode:
    return Mode(_PreciseJAXLinker(precision), get_mode("JAX").provided_optimizer)


def start_jax() -> None:
    """Configure JAX before its first use: a program cache on disk, and one device for each processor core.

    A user's own settings (``JAX_COMPILATION_CACHE_DIR``, ``JAX_NUM_CPU_DEVICES``) take precedence. If JAX is already
    running, its devices do not change. See also :func:`_keep_memory`.
    """
    import jax

    _keep_memory()
    # A second run reads the compiled programs from disk and starts in seconds.
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        _write_programs_whole()
    set_by_user = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if jax.config.jax_num_cpu_devices < 1 and not set_by_user:  # type: ignore[attr-defined]
        with contextlib.suppress(RuntimeError):  # JAX is already running
            jax.config.update("jax_num_cpu_devices", min(MOST_CPU_DEVICES, _usable_cores()))


@functools.cache
def _write_programs_whole() -> None:
    """Let JAX write each program of the cache on disk in one step.

    JAX writes it in place and never replaces it. Half a program, which a full disk or a kill leaves, would cost a
    warning and a compilation at every later start.
    """
    try:
        from jax._src.lru_cache import _CACHE_SUFFIX, LRUCache

        put = LRUCache.put
    except (ImportError, AttributeError):  # these names are JAX's own, and may change
        return

    def put_whole(self: Any, key: str, value: bytes) -> None:
        path = Path(self.path, f"{key}{_CACHE_SUFFIX}")
        if path.parent != cache_folder() / "jax" or self.eviction_enabled:  # a user's own cache
            put(self, key, value)
        elif not path.exists():
            with atomic(path) as temporary:
                temporary.write_bytes(value)

    LRUCache.put = put_whole  # type: ignore[method-assign]


# options of mallopt, from malloc.h
_MMAP_MAX, _MMAP_THRESHOLD, _ARENA_MAX, _TRIM_THRESHOLD = -4, -3, -8, -1


@functools.cache
def _keep_memory() -> Callable[[int, int], int] | None:
    """Let glibc's allocator reuse memory that programs free, up to 2 GB, and return its ``mallopt`` if it is ours.

    A program on a CPU allocates its intermediate results in every call. By default glibc maps large ones from the
    system and returns them at once, and the system clears each page on first use: a third of the time of a step with
    large results. Those of 32 MB and more are mapped still, but for :func:`large_results_kept`: of a heap that has held
    them, a process would keep a fifth of its memory for nothing. A user's own ``MALLOC_...`` or ``GLIBC_TUNABLES`` take
    precedence.
    """
    own = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if own or any(name.startswith("MALLOC_") for name in os.environ) or platform.libc_ver()[0] != "glibc":
        return None
    mallopt: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    # one heap for all threads, since others cannot hold large blocks; it is not trimmed
    for option, value in ((_MMAP_THRESHOLD, 2**25), (_ARENA_MAX, 1), (_TRIM_THRESHOLD, 2**31 - 1)):
        mallopt(option, value)
    return mallopt


@contextlib.contextmanager
def large_results_kept() -> Iterator[None]:
    """Within the block, keep the memory of results of any size for reuse: for a loop that needs them in every step.

    The steps of a model with weights shared over pitch have results of hundreds of MB, and are half as long again if
    these are mapped anew.
    """
    mallopt = _keep_memory()
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_MAX, 0)
    try:
        yield
    finally:
        mallopt(_MMAP_MAX, 65536)  # glibc's default


def forget_programs(most: int = 10_000) -> None:
    """Forget all compiled programs if this process has more mappings of memory than `most`.

    Each program takes several, a run with all its programs about 600, and Linux allows a process 65 530; a compilation
    aborts without more. Programs that are still in use are compiled again.
    """
    try:
        with open("/proc/self/maps", "rb") as file:
            many = sum(1 for _ in file) > most
    except OSError:  # other systems have no such limit
        return
    if many:
        import jax

        programs.forget()
        gc.collect()
        jax.clear_caches()
        gc.collect()


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_before: dict[str, list[Callable[[], None]]] = {}


def before(mode: str, prepare: Callable[[], None]) -> None:
    """Register a callback to run before each compilation in a mode, such as one that registers an Op."""
    _before.setdefault(mode, []).append(prepare)


def _prepare(mode: str | Mode) -> None:
    for prepare in _before.get(mode, []) if isinstance(mode, str) else []:
        prepare()
    if mode == "NUMBA":
        import pytensor.link.numba.cache  # noqa: F401
        from numba.core.errors import NumbaPerformanceWarning

        # products with a transposed matrix cause this warning, and a user cannot change them
        warnings.filterwarnings("ignore", r"(?s).*is faster on contiguous arrays", NumbaPerformanceWarning)
    elif mode == "JAX":
        _check_process(uses_jax=False)
        start_jax()
        _shorten_nested_traces()
        # PyTensor sums float32 in float64, and counts in int64. Without 64-bit types JAX uses 32-bit ones and warns
        # each time.
        warnings.filterwarnings("ignore", "Explicitly requested dtype (float64|int64)", UserWarning)
    _keep_sources_in_memory()


def function(
    inputs: Sequence[Any],
    outputs: Any = None,
    updates: Mapping[Any, Any] | None = None,
    *,
    mode: str | Mode | None = None,
    precision: str | None = None,
    **options: Any,
) -> Any:
    """Compile a graph: ``pytensor.function`` in the mode of :func:`resolve_mode`.

    Parameters
    ----------
    inputs, outputs, updates
        As for ``pytensor.function``; `updates` is a dict from shared variables to expressions.
    mode : str, pytensor Mode or None
        See :func:`resolve_mode`.
    precision : {"float32", "tf32", "bf16"} or None
        Of the factors of matrix products on a GPU in JAX mode. None is your own setting of JAX, and full float32 if
        there is none.
    **options
        Passed to ``pytensor.function``.

    Returns
    -------
    callable
        In JAX mode it returns before the result is computed (see :func:`block`), and a graph that equals an earlier one
        but for its shared variables is not compiled again (see :mod:`rnnrbm.backend.programs`).
    """
    mode = resolve_mode(mode)
    _prepare(mode)
    if mode == "JAX":
        return programs.compiled(inputs, outputs, updates or {}, _jax_mode(precision), options)
    return pytensor.function(list(inputs), outputs, updates=dict(updates or {}), mode=mode, **options)


def shared(value: Any, name: str, dtype: Any = None, *, borrow: bool = False) -> Any:
    """Make a shared variable with its full static shape, which JAX needs and PyTensor does not infer.

    The type is `dtype`; ``None`` means PyTensor's ``floatX``. With `borrow`, an array of that type is not copied.
    """
    array = (np.asarray if borrow else np.array)(value, dtype=dtype or pytensor.config.floatX)
    return pytensor.shared(array, name=name, shape=array.shape, borrow=True)


def to_numpy(value: Any) -> np.ndarray:
    """Return a NumPy copy of a shared variable's value or of an array of any engine.

    Rows that other processes have are fetched; see :func:`rnnrbm.backend.processes.whole`.
    """
    if isinstance(value, SharedVariable):
        value = value.get_value(borrow=True)
    return np.array(processes.whole(value))


def block(value: Any) -> Any:
    """Wait until results of a compiled function are computed, and return them.

    JAX calls are asynchronous, so a timing needs this call.
    """
    import jax

    return jax.block_until_ready(value)


def describe(mode: str | Mode | None = None) -> str:
    """Return a line for logs: the mode, the device, the precision of matrix products, and the engine's versions."""
    mode = resolve_mode(mode)
    line = f"PyTensor {pytensor.__version__}, mode {mode}"
    if mode == "JAX":
        start_jax()
        import jax

        device = jax.devices()[0]
        line += f", JAX {jax.__version__} on {device.device_kind} ({len(jax.devices())} {device.platform})"
        precision = _jax_precision()
        line += ", full float32 products" if precision == "highest" else f", products in precision {precision}"
    return line

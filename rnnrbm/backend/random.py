"""Randomness as a pure function of (key, draw number, element index).

Every random array of the library is computed, not drawn from a generator with hidden state: element ``i`` of draw
``d`` under key ``(k0, k1)`` is ``pcg4d(k0, k1, d, i)``, an integer hash evaluated inside the compiled graph.
Consequences:

* XLA fuses the random bits, the sigmoid and the comparison of a Gibbs half-step into one pass over memory;
* every engine (JAX on CPU or GPU, NUMBA, plain NumPy) produces the same bits;
* the numbers do not depend on how a batch is sharded;
* the random state of an experiment is a key and a counter, so resuming is exact.

The hash is ``pcg4d`` of Jarzynski & Olano, "Hash Functions for GPU Rendering", Journal of Computer Graphics
Techniques 9(3), 2020, who measured it with TestU01. ``benchmarks/random_quality.py`` runs the dieharder battery on the
layout used here and ``benchmarks/README.md`` records the result.

The hash is statistical, not cryptographic. The low bits of its words are periodic: bit b has period 2**(17 + b) in the
draw number. So only the upper 24 bits are used, whose lowest repeats after 2**25 draws (a million training steps of
CD-15). The hash mixes its inputs fully up to about 2**22 elements a draw and 2**24 draws.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.tensor.variable import TensorVariable

from rnnrbm.backend import engine

__all__ = ["Rng", "Seed", "as_seed", "bits_numpy", "generator", "key_from_seed", "shared", "uniform_numpy"]

#: what a user chooses random numbers by: a whole number, or a NumPy generator, which advances
Seed = int | np.random.Generator

_MULTIPLIER = 1664525
_INCREMENT = 1013904223


def generator(seed: Seed) -> np.random.Generator:
    """Return the NumPy generator of a seed; a generator is returned as it is.

    Raises
    ------
    TypeError
        If `seed` is neither a whole number nor a generator. None is refused, since its numbers cannot be repeated.
    ValueError
        If it is negative.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be a whole number or a numpy.random.Generator, got {seed!r}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    return np.random.default_rng(int(seed))


def as_seed(seed: Seed) -> int:
    """Return a whole number for a seed: the number itself, or one that a generator draws; errors as in `generator`."""
    rng = generator(seed)
    return int(rng.integers(2**63)) if isinstance(seed, np.random.Generator) else int(seed)


def key_from_seed(seed: int, stream: int = 0) -> np.ndarray:
    """Turn a seed into a key.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    stream : int
        Different streams of one seed have independent keys.

    Returns
    -------
    numpy.ndarray, shape (2,), uint32
        Two words mixed by :class:`numpy.random.SeedSequence`, so that seeds 0, 1, 2 give independent keys.

    Raises
    ------
    ValueError
        If `seed` or `stream` is negative.
    """
    if seed < 0 or stream < 0:
        raise ValueError(f"seed and stream must be non-negative integers, got {seed} and {stream}")
    return np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(2, np.uint32)


def _pcg4d(x: Any, y: Any, z: Any, w: Any) -> Any:
    """The last word of pcg4d, for any array type whose uint32 arithmetic wraps."""
    x, y, z, w = (t * _U(_MULTIPLIER) + _U(_INCREMENT) for t in (x, y, z, w))
    x = x + y * w
    y = y + z * x
    z = z + x * y
    w = w + y * z
    x, y, z, w = (t ^ (t >> _U(16)) for t in (x, y, z, w))
    x = x + y * w
    y = y + z * x
    z = z + x * y
    return w + y * z


_U = np.uint32


def bits_numpy(key: np.ndarray, draw: int, shape: tuple[int, ...]) -> np.ndarray:
    """NumPy reference: the 32 random bits of every element of one draw.

    Parameters
    ----------
    key : numpy.ndarray, shape (2,), uint32
    draw : int
        Number of the draw, below 2**32.
    shape : tuple of int
        At most 2**32 elements; the element index is the position in C order.

    Returns
    -------
    numpy.ndarray, shape `shape`, uint32
    """
    index = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.uint32).reshape(shape)
    k0, k1, d = (np.full(1, t, np.uint32) for t in (key[0], key[1], draw))
    return _pcg4d(k0, k1, d, index.ravel()).reshape(shape)


def uniform_numpy(key: np.ndarray, draw: int, shape: tuple[int, ...]) -> np.ndarray:
    """NumPy reference: uniform numbers in [0, 1), multiples of 2**-24.

    Takes the same parameters as :func:`bits_numpy`; returns float32 of shape `shape`.
    """
    return (bits_numpy(key, draw, shape) >> _U(8)).astype(np.float32) * np.float32(2.0**-24)


class UniformLike(Op):
    """Uniform float32 numbers in the shape of the third input, whose values are ignored.

    A shape from an array, rather than from integers, stays static in JAX. Each engine has its own implementation,
    because fused uint32 arithmetic of PyTensor's own graph does not wrap in NUMBA mode of PyTensor 3.0.
    """

    __props__ = ()

    def make_node(self, *inputs: Any) -> Apply:
        key, draw, like = (pt.as_tensor(t) for t in inputs)
        for name, t, ndim in (("key", key, 1), ("draw", draw, 0)):
            if t.dtype != "uint32" or t.ndim != ndim:
                raise TypeError(f"{name} must be a uint32 tensor of {ndim} dimensions, got {t.type}")
        _register_jax()
        out = pt.TensorType("float32", shape=like.type.shape)()
        return Apply(self, [key, draw, like], [out])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        key, draw, like = inputs
        output_storage[0][0] = uniform_numpy(key, int(draw), np.shape(like))

    def infer_shape(self, *arguments: Any) -> list:
        # (fgraph, node, shapes) in PyTensor 3.0, (node, shapes) later
        return [arguments[-1][2]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        return [[False], [False], [False]]

    def pullback(self, inputs: Any, outputs: Any, output_gradients: Any) -> list:
        return [pytensor.gradient.DisconnectedType()() for _ in inputs]


_uniform_like = UniformLike()


def _register_jax() -> None:
    """Register the Op with PyTensor's JAX engine, once; only here, because importing JAX takes a second."""
    from pytensor.link.jax.dispatch import jax_funcify

    if UniformLike in jax_funcify.registry:
        return
    import jax
    import jax.numpy as jnp

    @jax_funcify.register(UniformLike)
    def jax_funcify_uniform_like(op: UniformLike, **kwargs: Any) -> Any:
        def uniform_like(key: Any, draw: Any, like: Any) -> Any:
            index, stride = jnp.zeros((), jnp.uint32), 1
            for axis in reversed(range(like.ndim)):
                # iota instead of arange and reshape: XLA fuses it and shards it like the result
                iota = jax.lax.broadcasted_iota(jnp.uint32, like.shape, axis)
                index = index + iota * _U(stride)
                stride *= like.shape[axis]
            key = key.astype(jnp.uint32)
            bits = _pcg4d(key[0], key[1], jnp.asarray(draw, jnp.uint32), index)
            # 24 bits fit a signed integer, whose conversion to float32 is one machine instruction
            return (bits >> _U(8)).astype(jnp.int32).astype(jnp.float32) * np.float32(2.0**-24)

        return uniform_like


def register_numba() -> None:
    """Register the Op with PyTensor's NUMBA engine, once; the engine calls this function for that mode."""
    from pytensor.link.numba.dispatch import basic as numba_basic

    if UniformLike in numba_basic.numba_funcify_default_op_cache_key.registry:
        return

    @numba_basic.register_funcify_default_op_cache_key(UniformLike)
    def numba_funcify_uniform_like(op: UniformLike, node: Apply, **kwargs: Any) -> Any:
        mask, a, c = np.uint64(0xFFFFFFFF), np.uint64(_MULTIPLIER), np.uint64(_INCREMENT)
        s16, s8, scale = np.uint64(16), np.uint64(8), np.float32(2.0**-24)

        @numba_basic.numba_njit
        def uniform_like(key, draw, like):  # type: ignore[no-untyped-def]
            out = np.empty(like.shape, np.float32)
            flat = out.reshape(-1)
            # products of two 32-bit numbers fit 64-bit words, masked to 32 bits
            x0 = (np.uint64(key[0]) * a + c) & mask
            y0 = (np.uint64(key[1]) * a + c) & mask
            z0 = (np.uint64(draw.item()) * a + c) & mask
            for i in range(flat.size):
                w = (np.uint64(i) * a + c) & mask
                x = (x0 + y0 * w) & mask
                y = (y0 + z0 * x) & mask
                z = (z0 + x * y) & mask
                w = (w + y * z) & mask
                x ^= x >> s16
                y ^= y >> s16
                z ^= z >> s16
                w ^= w >> s16
                x = (x + y * w) & mask
                y = (y + z * x) & mask
                z = (z + x * y) & mask
                w = (w + y * z) & mask
                flat[i] = np.float32(w >> s8) * scale
            return out

        return uniform_like, 1


engine.before("NUMBA", register_numba)


class Rng(NamedTuple):
    """A position in a stream of random numbers. Immutable: drawing returns the numbers and the next position.

    Attributes
    ----------
    key : TensorVariable, shape (2,), uint32
    draw : TensorVariable, scalar, uint32
        Number of the next draw.
    origin : shared variable or None
        Initial `draw`; :meth:`updates` advances it.
    """

    key: Any
    draw: Any
    origin: Any = None

    def uniform(self, like: TensorVariable) -> tuple[TensorVariable, Rng]:
        """Draw uniform numbers in [0, 1) in the shape of `like`.

        Returns
        -------
        u : TensorVariable, shape of `like`, float32
        rng : Rng
            The position after this draw.
        """
        u: Any = _uniform_like(self.key, self.draw, like)
        return u, self.skip(1)

    def normal(self, like: TensorVariable) -> tuple[TensorVariable, Rng]:
        """Draw standard normal numbers in the shape of `like`, by the inverse of their distribution function.

        This takes one uniform number for each, and a quarter of the time of the method of Box & Muller on a CPU. No
        number is farther from 0 than 5.42, the quantile of half the distance of two uniform numbers.
        """
        u, rng = self.uniform(like)
        # in the middle of its interval a uniform number is neither 0 nor 1, and 2 u - 1 is exact
        middle = np.float32(2.0) * u - np.float32(1.0 - 2.0**-24)
        return np.float32(np.sqrt(2.0)) * pt.erfinv(middle), rng

    def skip(self, n: int) -> Rng:
        """Return the position `n` draws later."""
        return self._replace(draw=self.draw + np.uint32(n))

    def updates(self) -> engine.Updates:
        """Return the update that advances the shared counter to this position."""
        return {} if self.origin is None else {self.origin: self.draw}


def shared(seed: int, name: str = "rng", stream: int = 0) -> Rng:
    """Make a stream whose key and counter are shared variables ``{name}_key`` and ``{name}_draw``.

    Parameters
    ----------
    seed : int
        Non-negative; see :func:`key_from_seed`.
    name : str
        Prefix of the variable names, which are the keys in a checkpoint.
    stream : int
        Different streams of one seed are independent.
    """
    key = engine.shared(key_from_seed(seed, stream), f"{name}_key", "uint32")
    draw = engine.shared(0, f"{name}_draw", "uint32")
    return Rng(key, draw, draw)

"""Autoregressive connections: the latest frames set the biases of the next one directly, beside the network.

With them alone, the expected frame is a linear function of the frames before it: a vector autoregression. The network
then has to learn only what is not linear. Such weights from past frames to both biases of an RBM are those of the
conditional RBM of motion (Taylor, Hinton & Roweis, "Modeling human motion using binary latent variables", NIPS 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from rnnrbm.networks import Network, Traits, push_frame, recent_frames

__all__ = ["Autoregressive", "oldest_first"]


class Autoregressive(NamedTuple):
    """A network whose output also has the latest frames.

    A frame before the first one of a piece is all zeros. At first a model expects each frame to be as the one before
    it, as `Traits.n_direct` says.

    Attributes
    ----------
    network : Network
    n_visible, n_frames : int
        Columns of a frame, and the number of frames.
    """

    network: Network
    n_visible: int
    n_frames: int

    @property
    def u_0(self) -> TensorVariable:
        u_0 = self.network.u_0
        return pt.concatenate([pt.zeros((self._width,), u_0.dtype), u_0])

    @property
    def _width(self) -> int:
        return self.n_frames * self.n_visible

    @property
    def n_outputs(self) -> int:
        return self.network.n_outputs + self._width

    @property
    def traits(self) -> Traits:
        return self.network.traits._replace(n_direct=self._width)

    def tensors(self) -> list[TensorVariable]:
        return self.network.tensors()

    def with_tensors(self, tensors: Sequence[TensorVariable]) -> Autoregressive:
        return self._replace(network=self.network.with_tensors(tensors))

    def run(
        self, v: TensorVariable, start: TensorVariable | None = None, u_0: TensorVariable | None = None
    ) -> TensorVariable:
        before, inner = (None, None) if u_0 is None else (u_0[:, : self._width], u_0[:, self._width :])
        frames = recent_frames(v, self.n_frames, start, before)
        return pt.concatenate([frames, self.network.run(v, start, inner)], axis=-1)

    def step(self, v: TensorVariable, u: TensorVariable) -> TensorVariable:
        frames = push_frame(v, u[..., : self._width], self.n_visible)
        return pt.concatenate([frames, self.network.step(v, u[..., self._width :])], axis=-1)

    def output(self, u: TensorVariable) -> TensorVariable:
        """Outputs of the network, then the frames, the latest one last."""
        outputs = self.network.output(u[..., self._width :])
        return pt.concatenate([outputs, oldest_first(u[..., : self._width], self.n_frames)], axis=-1)


def oldest_first(frames: TensorVariable, n_frames: int) -> TensorVariable:
    """Turn the order of frames side by side, (..., n_frames * n) with the latest first, as networks keep them."""
    n = frames.type.shape[-1] // n_frames
    parts = [frames[..., i * n : (i + 1) * n] for i in reversed(range(n_frames))]
    return frames if n_frames == 1 else pt.concatenate(parts, axis=-1)

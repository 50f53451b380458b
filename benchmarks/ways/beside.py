"""An RBM and a NADE that one network writes the biases of: the NADE's exact gradient trains the network too."""

from __future__ import annotations

from typing import Any, NamedTuple

from rnnrbm.backend.random import Rng, generator
from rnnrbm.models.nade import NADE
from rnnrbm.rbm import RBM
from rnnrbm.rnnrbm import init_network
from rnnrbm.samplers import NegativePhase
from rnnrbm.sequence import SequenceModel
from rnnrbm.units import Bernoulli

__all__ = ["Beside", "with_nade"]


class Beside(NamedTuple):
    """The RBM of a frame, with the fields of a NADE under other names."""

    W: Any
    b_v: Any
    b_h: Any
    nade_W: Any
    nade_V: Any
    nade_b_v: Any
    nade_b_h: Any
    biases = ("b_v", "b_h", "nade_b_v", "nade_b_h")
    visible = hidden = Bernoulli()

    @property
    def rbm(self) -> RBM:
        return RBM(self.W, self.b_v, self.b_h)

    @property
    def nade(self) -> NADE:
        return NADE(self.nade_W, self.nade_V, self.nade_b_v, self.nade_b_h)

    def tensors(self) -> list[Any]:
        return list(self)

    def with_tensors(self, tensors: list[Any]) -> Beside:
        return Beside(*tensors)

    def free_energy(self, v: Any) -> Any:
        return self.rbm.free_energy(v)

    def gibbs_step(self, v: Any, rng: Rng) -> Any:
        return self.rbm.gibbs_step(v, rng)

    def pseudo_log_likelihood(self, v: Any, rng: Rng) -> Any:
        return self.rbm.pseudo_log_likelihood(v, rng)

    @staticmethod
    def without_nade(model: SequenceModel) -> SequenceModel:
        """The RNN-RBM alone, with the same parameters."""
        density: Any = model.density
        return SequenceModel(model.network, density.rbm, model.bias_weights[:2])


class Both(NamedTuple):
    """Contrastive divergence, plus -log p of the NADE."""

    k: int
    max_active: int

    def difference(self, density: Any, v: Any, rng: Rng, counts: Any = None) -> Any:
        cost, updates = NegativePhase(self.k).difference(density.rbm, v, rng, counts)
        return cost - density.nade.log_prob(v, self.max_active), updates


def with_nade(n_visible: int, seed: int) -> SequenceModel:
    rng = generator(seed)
    rbm = RBM.init(n_visible, 256, seed=rng)
    nade = NADE.init(n_visible, 256, seed=rng)
    for tensor, name in zip(nade.tensors(), ("nade_W", "nade_V", "nade_b_v", "nade_b_h"), strict=True):
        tensor.name = name
    return SequenceModel.init(init_network(n_visible, seed=rng), Beside(*rbm[:3], *nade.tensors()), seed=rng)

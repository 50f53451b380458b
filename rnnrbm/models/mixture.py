"""A mixture of sequence models: each frame is drawn from one of them.

    P(v(t) | past) = mean over the members m of P_m(v(t) | past)

Every member reads the same past. Members that differ only in the seed of their training err on different frames, so
their mixture is better than each of them; it takes as many times the work. (Such mixtures are a "linear opinion pool":
Genest & Zidek, "Combining probability distributions", Statistical Science 1986.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

from rnnrbm import model_file
from rnnrbm.arguments import whole_number
from rnnrbm.backend import engine, random
from rnnrbm.backend.random import Rng
from rnnrbm.display import model_html
from rnnrbm.samplers import draw_frame, usual_start
from rnnrbm.scoring.likelihood import log_likelihood
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.sequence import SequenceModel

__all__ = ["Mixture", "mixture"]


class Mixture(NamedTuple):
    """Sequence models of the same frames, with equal weights. Make one by :func:`mixture`, which checks them.

    Attributes
    ----------
    members : tuple of SequenceModel
    """

    members: tuple[SequenceModel, ...]

    @property
    def n_visible(self) -> int:
        return self.members[0].n_visible

    @property
    def params(self) -> list[Any]:
        """Parameters of all members."""
        return [p for member in self.members for p in member.params]

    def save(self, path: model_file.PathName) -> None:
        """Write the mixture to a file, which :func:`rnnrbm.load_model` reads back; see :mod:`rnnrbm.model_file`."""
        model_file.save(path, self)

    def _repr_html_(self) -> str:
        return model_html(self)

    def log_likelihood(self, pieces: Any, **options: Any) -> LogLikelihood:
        """Log-likelihood of pieces, every frame given its true past.

        Parameters
        ----------
        pieces : sequence of array-likes (T, n_visible), or one array
        **options
            Those of :func:`rnnrbm.scoring.likelihood.log_likelihood`: ``n_chains``, ``exact_states`` ... They are for
            the members whose partition functions are estimated.

        Returns
        -------
        LogLikelihood
            Exact if all members are. Otherwise its variances are those of the mean of estimates.
        """
        exact: dict[str, Any] = {key: options[key] for key in ("progress", "mode") if key in options}
        scored = [log_likelihood(m, pieces, **(exact if m.normalized else options)) for m in self.members]
        n, first = len(scored), scored[0]
        settings = "; ".join(dict.fromkeys(one.settings for one in scored))
        frames, variances = [], []
        for parts, errors in zip(
            zip(*(one.frames for one in scored), strict=True),
            zip(*(one.variances for one in scored), strict=True),
            strict=True,
        ):
            total = np.logaddexp.reduce(parts, axis=0)
            shares = np.exp(np.array(parts) - total)
            frames.append(total - np.log(n))
            variances.append((shares**2 * np.array(errors)).sum(axis=0))
        estimated = max(scored, key=lambda one: one.n_chains)
        return replace(
            first,
            frames=frames,
            variances=variances,
            settings=f"mixture of {n}, {settings}",
            n_chains=estimated.n_chains,
            method=estimated.method,
            effective_sample_size=np.min([one.effective_sample_size for one in scored], axis=0),
        )

    def generate(
        self, n_frames: int, *, n_samples: int = 1, k: int = 50, seed: random.Seed = 0, mode: Any = None
    ) -> np.ndarray:
        """Sample sequences: each frame from a member that is drawn anew.

        Parameters
        ----------
        n_frames, n_samples : int
        k : int
            Gibbs steps for each frame, for members with an energy.
        seed : int or numpy.random.Generator
        mode : str or None
            See :func:`rnnrbm.backend.engine.function`.

        Returns
        -------
        numpy.ndarray, shape (n_samples, n_frames, n_visible)
        """
        whole_number("n_frames", n_frames, 1)
        whole_number("n_samples", n_samples, 1)
        members, params = self.members, [m.params for m in self.members]
        ends = np.cumsum([len(p) for p in params])
        starts = [usual_start(m.density) for m in members]
        rng = random.shared(random.as_seed(seed))
        dtype = members[0].dtype

        def step(v: Any, *rest: Any) -> list[Any]:
            states, (draw, key, *tensors) = rest[: len(members)], rest[len(members) :]
            own, drawn, after = Rng(key, draw), [], []
            for i, (member, u) in enumerate(zip(members, states, strict=True)):
                m = member.with_params(tensors[ends[i] - len(params[i]) : ends[i]])
                frame, own = draw_frame(m.conditional(m.network.output(u)), v, rng=own, k=k, start=starts[i])
                drawn.append(frame)
                after.append(m)
            u, own = own.uniform(v[:, :1])
            chosen = pt.floor(u * np.float32(len(members)))
            v = drawn[0]
            for i, frame in enumerate(drawn[1:], 1):
                v = pt.switch(pt.eq(chosen, np.float32(i)), frame, v)
            return [v, *(m.network.step(v, u) for m, u in zip(after, states, strict=True)), own.draw]

        zeros = pt.zeros((n_samples, self.n_visible), dtype)
        begin = [pt.zeros((n_samples, 1), dtype) + m.network.u_0 for m in members]
        results = pytensor.scan(
            step,
            outputs_info=[zeros, *begin, rng.draw],
            non_sequences=[rng.key, *(p for group in params for p in group)],
            n_steps=n_frames,
            return_updates=False,
        )
        sampled = engine.function([], results[0], mode=mode)()
        return np.asarray(sampled).transpose(1, 0, 2)


def mixture(members: Any) -> Mixture:
    """Make a mixture of trained models.

    Parameters
    ----------
    members : sequence of SequenceModel
        At least one.

    Raises
    ------
    TypeError
        If one of them is no sequence model.
    ValueError
        If there are none, or they differ in the number or the type of their visible units.
    """
    models = tuple(members)
    if not models:
        raise ValueError("members is empty; give at least one trained model")
    for i, model in enumerate(models):
        if not isinstance(model, SequenceModel):
            raise TypeError(
                f"members[{i}] is a {type(model).__name__}; expected a SequenceModel, such as rnnrbm.build makes"
            )
        if (model.n_visible, model.density.visible) != (models[0].n_visible, models[0].density.visible):
            raise ValueError(
                f"members[{i}] has {model.n_visible} visible units, {model.density.visible}, and members[0] "
                f"{models[0].n_visible}, {models[0].density.visible}; a mixture is of models of the same frames"
            )
    return Mixture(models)

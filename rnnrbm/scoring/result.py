"""The result of a score: log-likelihoods of frames, their errors, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from rnnrbm.display import table

__all__ = ["LogLikelihood", "verdict", "with_error"]

#: The effective sample size of a frame's weights is low below this fraction of the chains, or below this number. One Z
#: for all frames makes one error for all of them, so it needs more.
LOW_ESS_SHARE, LOW_ESS_SHARE_OF_ONE, LOW_ESS_SIZE = 0.1, 0.2, 2.0

#: A larger bias is warned of, nats per frame.
MOST_BIAS = 0.05


@dataclass(frozen=True, repr=False)
class LogLikelihood:
    """Log-likelihoods of pieces, and how they were computed.

    Attributes
    ----------
    frames : list of numpy.ndarray, each (T,)
        log p(v(t) | v(1) .. v(t-1)) of every frame, nats.
    variances : list of numpy.ndarray, each (T,)
        Variance of each of these from the sampling of Z, by bootstrap over chains, nats squared; zero if exact.
    effective_sample_size : numpy.ndarray, shape (frames,)
        Effective sample size of each frame's weights, between 1 and the number of chains.
    settings : str
        The method in words, for tables.
    n_chains : int
        Chains for each frame; 1 if exact.
    shared_Z : bool
        All frames share one partition function (a static RBM) and its error.
    method : {"ais", "raise", "exact", "bound", "importance"}
        ``"bound"``: a lower bound of the log-likelihood, which a model computes by itself. ``"importance"`` is the
        importance-weighted bound of a variational autoencoder; its chains are samples.
    """

    frames: list[np.ndarray]
    variances: list[np.ndarray]
    effective_sample_size: np.ndarray
    settings: str
    n_chains: int = 1
    shared_Z: bool = False
    method: str = "ais"

    @property
    def mean(self) -> float:
        """Mean over all frames, nats per frame: the protocol of the literature."""
        return float(np.concatenate(self.frames).mean())

    @property
    def per_piece(self) -> np.ndarray:
        """Log-likelihood of each piece, nats."""
        return np.array([x.sum() for x in self.frames])

    @property
    def mean_per_piece(self) -> np.ndarray:
        """Mean over the frames of each piece, nats per frame; NaN for a piece without a scored frame."""
        return np.array([x.mean() if len(x) else np.nan for x in self.frames])

    @property
    def mean_over_pieces(self) -> float:
        """Mean over pieces of their mean over frames, nats per frame; pieces without a scored frame are ignored."""
        return float(np.nanmean(self.mean_per_piece))

    @property
    def standard_error(self) -> float:
        """Standard error of :attr:`mean` from the sampling of Z (not from the choice of pieces), nats per frame."""
        variances = np.concatenate(self.variances)
        if self.shared_Z:
            return float(np.sqrt(variances.max()))
        return float(np.sqrt(variances.sum()) / variances.size)

    def subset(self, chosen: np.ndarray) -> Self:
        """Return the result of some frames only.

        Parameters
        ----------
        chosen : numpy.ndarray of int
            Indices of the frames, counted through all pieces.
        """
        bounds = np.cumsum([len(x) for x in self.frames])[:-1]
        kept = np.zeros(sum(map(len, self.frames)), bool)
        kept[chosen] = True
        parts = np.split(kept, bounds)
        return replace(
            self,
            frames=[x[k] for x, k in zip(self.frames, parts, strict=True)],
            variances=[x[k] for x, k in zip(self.variances, parts, strict=True)],
            effective_sample_size=self.effective_sample_size[kept],
        )

    @property
    def bias(self) -> float:
        """By how much AIS is too high, or any other estimate too low, because the number of chains is finite.

        In nats per frame; an exact log-likelihood has none.
        The logarithm of an unbiased estimate is too low, on average by about half its variance. This is not subtracted
        from :attr:`mean`. RAISE is too low by more, since annealing is not the RBM.
        """
        return 0.5 * float(np.concatenate(self.variances).mean())

    @property
    def _low_ess_size(self) -> float:
        if self.method == "importance":  # a bound remains one with few effective samples
            return min(LOW_ESS_SIZE, 0.5 * self.n_chains)
        share = LOW_ESS_SHARE_OF_ONE if self.shared_Z else LOW_ESS_SHARE
        return max(share * self.n_chains, min(LOW_ESS_SIZE, 0.5 * self.n_chains))

    @property
    def low_ess(self) -> float:
        """Fraction of frames whose effective sample size is below a tenth of the chains, or below 2.

        With one Z for all frames, a fifth of the chains stands for a tenth. Of an importance-weighted bound, 2 counts
        alone.
        """
        return float((self.effective_sample_size < self._low_ess_size).mean()) if self.n_chains > 1 else 0.0

    def diagnostics(self) -> str:
        """Describe what is wrong with the weights and what to raise, or return an empty string.

        Either more than one frame in a hundred has a low effective sample size (:attr:`low_ess`), or :attr:`bias` is
        above 0.05 nats, or no chain of a shared Z ended at a frame that is not enumerated. All other frames, and the
        error, then count as zero.
        """
        if self.shared_Z and self.n_chains > 1 and not self.standard_error:
            return (
                f"{self.settings}: no chain ended at a frame that is not enumerated, so the log-likelihood is too high "
                "by the share of those frames, and its error is not known; use more chains"
            )
        if self.low_ess > 0.01 and self.method == "importance":
            return (
                f"{self.settings}: in {self.low_ess:.1%} of the frames one sample has most of the weight, so the bound "
                "is far below the log-likelihood there; use more samples"
            )
        if self.low_ess > 0.01:
            where = "" if self.shared_Z else f"in {self.low_ess:.1%} of the frames "
            return (
                f"{self.settings}: {where}the effective sample size is below {self._low_ess_size:g} of {self.n_chains} "
                "chains, so the log-likelihood is unreliable; use more temperatures"
            )
        if self.n_chains > 1 and self.bias > MOST_BIAS:
            return (
                f"{self.settings}: the log-likelihood is about {self.bias:.2f} nats per frame too {self._side}; use "
                + ("more samples" if self.method == "importance" else "more chains or temperatures")
            )
        return ""

    @property
    def _side(self) -> str:
        return "low" if self.method in ("raise", "importance") else "high"

    def __str__(self) -> str:
        bias = f"; about {self.bias:.3f} too {self._side}" if self.bias >= 0.0005 else ""
        return f"{self.mean:.3f} +- {self.standard_error:.3f} nats per frame ({self.settings}{bias})"

    def _repr_html_(self) -> str:
        rows = [
            ("mean, nats per frame", with_error(self.mean, self.standard_error)),
            ("method", self.settings),
            ("pieces", str(len(self.frames))),
            ("frames", str(sum(map(len, self.frames)))),
        ]
        if self.n_chains > 1:
            rows.append(("effective sample size, median", f"{np.median(self.effective_sample_size):.1f}"))
        if self.bias >= 0.0005:
            rows.append((f"too {self._side} by about", f"{self.bias:.3f}"))
        if diagnostics := self.diagnostics():
            rows.append(("warning", diagnostics))
        return table("log-likelihood", ("", ""), rows)

    def __repr__(self) -> str:
        return f"<LogLikelihood of {len(self.frames)} pieces: {self}>"


def verdict(upper: LogLikelihood, lower: LogLikelihood) -> str:
    """Say why AIS and RAISE of the same frames are no bracket of the log-likelihood, or return an empty string.

    They are one if the weights of both are sound (:meth:`LogLikelihood.diagnostics`) and RAISE is not above AIS by more
    than three standard errors of their difference.

    Parameters
    ----------
    upper, lower : LogLikelihood
        By AIS and by RAISE.
    """
    if failed := [d for d in (upper.diagnostics(), lower.diagnostics()) if d]:
        return "; ".join(failed)
    above = lower.mean - upper.mean
    error = float(np.hypot(upper.standard_error, lower.standard_error))
    if above <= 3 * error:
        return ""
    return (
        f"RAISE is {above:.3f} nats per frame above AIS, which is {above / error:.0f} standard errors, and the weights "
        "of both are sound: annealing generates these data more readily than the model does, which does not fit them. "
        "RAISE is no lower side then; more temperatures bring the two together"
    )


def with_error(mean: float, standard_error: float) -> str:
    """Format a log-likelihood for a table, with its standard error if it is an estimate."""
    return f"{mean:.3f}" + (f" ± {standard_error:.3f}" if standard_error else "")

"""An RBM with the interface of scikit-learn's ``BernoulliRBM``, whose learning is compiled.

Learning runs in the compiled programs of :mod:`rnnrbm.sklearn.learning`. What needs one pass over rows, such as
``transform``, is NumPy: it works for any number of rows and for sparse ones without a compilation.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from rnnrbm.backend import engine
from rnnrbm.backend.random import key_from_seed
from rnnrbm.rbm import RBM
from rnnrbm.scoring.likelihood import log_likelihood
from rnnrbm.sklearn.learning import METHODS, Learned, Rule, blocks, learn
from rnnrbm.training.fit import Diverged

__all__ = ["BernoulliRBM"]

#: Units of the smaller layer up to which the partition function is enumerated if no method is chosen.
MOST_ENUMERATED = 20

#: Cells of the hidden units' inputs that are computed at a time.
_CELLS = 2**20

FLOATS = (np.float64, np.float32)


class BernoulliRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Restricted Boltzmann machine of binary units, in place of ``sklearn.neural_network.BernoulliRBM``.

    Parameters, attributes and methods are those of scikit-learn, and so is the learning rule by default: persistent
    contrastive divergence with one Gibbs step, a constant learning rate, and batches in the order of the rows. It
    differs in three places. The random numbers of learning are others. Learning computes in single precision, whatever
    the type of the data; attributes and results have the type of the data. The gradient is the mean over the data of a
    batch minus the mean over the chains; scikit-learn divides both sums by the number of data, so its chains count too
    much in a short last batch.

    Parameters
    ----------
    n_components : int
        Number of hidden units.
    learning_rate : float
    batch_size : int
        Rows of an update, and number of persistent chains.
    n_iter : int
        Passes over the rows.
    verbose : int
        If not 0, print the pseudo-likelihood after each pass.
    random_state : int, RandomState or None
        Of initial weights, of learning, and of the methods that draw.
    method : {"pcd", "cd", "tempered"}
        Negative samples of learning: persistent chains (Tieleman 2008), chains that start at the data (Hinton 2002),
        or persistent chains at several temperatures that exchange their states (Desjardins et al. 2010).
    k : int
        Gibbs steps of an update; of ``"tempered"`` the rounds.
    n_betas : int
        Inverse temperatures of ``"tempered"``, evenly spaced from 1 to 0.
    centered : bool
        Learn how units deviate from their means; see :mod:`rnnrbm.training.centring`.

    Attributes
    ----------
    components_ : numpy.ndarray, shape (n_components, n_features_in_)
        Weights.
    intercept_hidden_ : numpy.ndarray, shape (n_components,)
    intercept_visible_ : numpy.ndarray, shape (n_features_in_,)
    h_samples_ : numpy.ndarray, shape (batch_size, n_components)
        Hidden units of the persistent chains; zeros of ``"cd"``, which has none.
    n_features_in_ : int
    feature_names_in_ : numpy.ndarray, shape (n_features_in_,)
        Only if all columns of the data have names.

    Examples
    --------
    >>> import numpy as np
    >>> from rnnrbm.sklearn import BernoulliRBM
    >>> X = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> BernoulliRBM(n_components=2, random_state=0).fit(X).transform(X).shape
    (4, 2)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "method": [StrOptions(set(METHODS))],
        "k": [Interval(Integral, 1, None, closed="left")],
        "n_betas": [Interval(Integral, 2, None, closed="left")],
        "centered": ["boolean"],
    }

    def __init__(
        self,
        n_components: int = 256,
        *,
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        verbose: int = 0,
        random_state: Any = None,
        method: str = "pcd",
        k: int = 1,
        n_betas: int = 10,
        centered: bool = False,
    ) -> None:
        self.n_components = n_components
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.verbose = verbose
        self.random_state = random_state
        self.method = method
        self.k = k
        self.n_betas = n_betas
        self.centered = centered

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from rows.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)
            0 and 1, or probabilities of 1.
        y : ignored

        Raises
        ------
        Diverged
            If a parameter becomes NaN or infinite.
        """
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS)
        learned = self._start(X, check_random_state(self.random_state))
        n_samples, n_visible = X.shape
        mean = np.asarray(X.mean(axis=0), np.float64).ravel()
        n_rows = min(self.batch_size, n_samples)

        def batches(n_passes: int) -> Iterator[Any]:
            for _ in range(n_passes):
                for first in range(0, n_samples, n_rows):
                    yield X[first : first + n_rows]

        # all passes follow each other without a pause, unless the parameters are needed in between
        begun = time.perf_counter()
        for i in range(self.n_iter if self.verbose else min(1, self.n_iter)):
            in_turn = batches(1 if self.verbose else self.n_iter)
            learned = self._learn(learned, blocks(in_turn, n_rows, n_visible), mean)
            if self.verbose:
                self._keep(learned, X.dtype)
                score, now = self._scores(X).mean(), time.perf_counter()
                print(
                    f"[{type(self).__name__}] Iteration {i + 1}, pseudo-likelihood = {score:.2f}, "
                    f"time = {now - begun:.2f}s"
                )
                begun = now
        self._keep(learned, X.dtype)
        self._mean, self._n_seen = mean, n_samples
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Make one update with all rows, from where learning stands; the first call begins it.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)
        y : ignored

        Raises
        ------
        Diverged
            If a parameter becomes NaN or infinite.
        """
        begins = not hasattr(self, "components_")
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=begins)
        if begins:
            learned = self._start(X, check_random_state(self.random_state))
            self._mean, self._n_seen = np.zeros(X.shape[1]), 0
            dtype = X.dtype
        else:
            W, b_v, b_h = self.components_.T, self.intercept_visible_, self.intercept_hidden_
            learned = Learned(W, b_v, b_h, self._continued_chains(), self._hidden_offset, self._draw)
            dtype = self.components_.dtype
        n_samples, n_visible = X.shape
        self._n_seen += n_samples
        share = n_samples / self._n_seen
        self._mean = (1.0 - share) * self._mean + share * np.asarray(X.mean(axis=0), np.float64).ravel()
        # a few numbers of rows, since each is compiled
        n_rows = self.batch_size if n_samples <= self.batch_size else 1 << (n_samples - 1).bit_length()
        updates = blocks([X], n_rows, n_visible, single=True)
        self._keep(self._learn(learned, updates, self._mean), dtype)
        return self

    def _start(self, X: Any, rng: np.random.RandomState) -> Learned:
        """Draw initial weights, as scikit-learn does, and the key of the random stream."""
        shape = self.n_components, X.shape[1]
        W = rng.normal(0.0, 0.01, shape).T
        self._key = key_from_seed(int(rng.randint(2**31 - 1)))
        chains = np.zeros((self.batch_size, self.n_components))
        if self.method == "tempered":
            chains = np.zeros((self.n_betas, *chains.shape))
        half = np.full(self.n_components, 0.5)  # mean of hidden units without input
        return Learned(W, np.zeros(X.shape[1]), np.zeros(self.n_components), chains, half, 0)

    def _continued_chains(self) -> np.ndarray:
        """Return the chains of the last update, in the shape of the next; parameters may have been set in between."""
        if self.method != "tempered":
            return self.h_samples_
        if self._chains.ndim == 3 and len(self._chains) == self.n_betas:
            return self._chains
        return np.repeat(self.h_samples_[None], self.n_betas, axis=0)

    def _learn(self, learned: Learned, updates: Any, mean: np.ndarray) -> Learned:
        rule = Rule(self.method, int(self.k), int(self.n_betas), bool(self.centered))
        if rule.method != "tempered":  # which alone has several temperatures; one program serves all others
            rule = rule._replace(n_betas=0)
        return learn(learned, updates, rule, rate=self.learning_rate, mean=mean, key=self._key)

    def _keep(self, learned: Learned, dtype: Any) -> None:
        """Turn what was learned into attributes."""
        names = "components_", "intercept_visible_", "intercept_hidden_", "h_samples_"
        if bad := [name for name, x in zip(names, learned, strict=False) if not np.isfinite(x).all()]:
            raise Diverged(
                f"{', '.join(bad)} became NaN or infinite; try a learning rate lower than {self.learning_rate}, and "
                "scale the columns of X to the range of 0 to 1"
            )
        self.components_ = learned.W.astype(dtype).T
        self.intercept_visible_, self.intercept_hidden_ = learned.b_v.astype(dtype), learned.b_h.astype(dtype)
        self._chains = learned.chains.astype(dtype)
        self.h_samples_ = self._chains[0] if self._chains.ndim == 3 else self._chains
        self._hidden_offset, self._draw = learned.hidden_offset, learned.draw
        self._n_features_out = len(self.components_)

    def transform(self, X: Any) -> np.ndarray:
        """Return the probability of each hidden unit given rows: (n_samples, n_components)."""
        check_is_fitted(self)
        return self._mean_hiddens(validate_data(self, X, accept_sparse="csr", reset=False, dtype=FLOATS))

    def _activation(self, v: Any) -> np.ndarray:
        """Input of the hidden units given rows or one row."""
        return np.asarray(safe_sparse_dot(v, self.components_.T)) + self.intercept_hidden_

    def _mean_hiddens(self, v: Any) -> np.ndarray:
        x = self._activation(v)
        return expit(x, out=x)

    def _sample_hiddens(self, v: Any, rng: np.random.RandomState) -> np.ndarray:
        p = self._mean_hiddens(v)
        return rng.uniform(size=p.shape) < p

    def gibbs(self, v: Any) -> np.ndarray:
        """Take one Gibbs step from rows: sample the hidden units, then the visible ones.

        Parameters
        ----------
        v : array-like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        numpy.ndarray, shape (n_samples, n_features), bool
            Each call goes on in the random stream of the estimator.
        """
        check_is_fitted(self)
        if not hasattr(self, "random_state_"):
            self.random_state_ = check_random_state(self.random_state)
        h = self._sample_hiddens(v if sparse.issparse(v) else np.asarray(v), self.random_state_)
        p = expit(h @ self.components_ + self.intercept_visible_)
        return self.random_state_.uniform(size=p.shape) < p

    def score_samples(self, X: Any) -> np.ndarray:
        """Estimate the log pseudo-likelihood of binary rows from one random unit of each row.

        The sum over all units of log P(unit | other units) is estimated by one term, drawn uniformly, times the number
        of units. Units are drawn as in scikit-learn: with equal weights and an equal `random_state`, so are the scores.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)
            0 and 1.

        Returns
        -------
        numpy.ndarray, shape (n_samples,), nats
        """
        check_is_fitted(self)
        return self._scores(validate_data(self, X, accept_sparse="csr", reset=False, dtype=FLOATS))

    def _scores(self, v: Any) -> np.ndarray:
        n_samples, n_visible = v.shape
        chosen = check_random_state(self.random_state).randint(0, n_visible, n_samples)
        size = max(1, _CELLS // self.n_components)
        parts = (slice(first, first + size) for first in range(0, n_samples, size))
        return np.concatenate([-n_visible * np.logaddexp(0.0, self._gap(v[part], chosen[part])) for part in parts])

    def _gap(self, v: Any, chosen: np.ndarray) -> np.ndarray:
        """Free energy of rows less that of the rows with one chosen unit flipped: (n,).

        A flip adds a multiple of a row of weights to the input of the hidden units; there is no second product.
        """
        rows = np.arange(len(chosen))
        if sparse.issparse(v):
            one = sparse.csr_matrix((np.ones(len(rows)), (rows, chosen)), shape=v.shape)
            value = np.asarray(sparse.csr_matrix(v).multiply(one).sum(axis=1)).ravel()
        else:
            value = v[rows, chosen]
        change = (1.0 - 2.0 * value).astype(self.components_.dtype)
        x = self._activation(v)
        before = np.logaddexp(0.0, x).sum(axis=1)
        x += change[:, None] * self.components_.T[chosen]
        return change * self.intercept_visible_[chosen] + np.logaddexp(0.0, x).sum(axis=1) - before

    def log_likelihood(
        self, X: ArrayLike, *, method: str | None = None, n_chains: int | None = None, n_temperatures: int | None = None
    ) -> np.ndarray:
        """Return log P(v) of binary rows.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n_samples, n_features)
            0 and 1.
        method : {"exact", "ais"} or None
            ``"exact"`` enumerates the smaller layer, at most 25 units; ``"ais"`` estimates the partition function by
            annealed importance sampling. None: exact if the smaller layer has at most 20 units.
        n_chains, n_temperatures : int or None
            Of annealing; see :func:`rnnrbm.scoring.likelihood.usual_annealing`. The usual ones are many, and take
            minutes for a large RBM.

        Returns
        -------
        numpy.ndarray, shape (n_samples,), nats
            For the error of an estimate, use ``rnnrbm.log_likelihood(estimator.to_rbm(), X)``.

        Raises
        ------
        ValueError
            If `X` is not binary, or no layer is small enough to enumerate.
        """
        check_is_fitted(self)
        v = validate_data(self, X, accept_sparse="csr", reset=False, dtype=FLOATS)
        exact = min(self.components_.shape) <= MOST_ENUMERATED
        scored = log_likelihood(
            self.to_rbm(),
            v,
            method=method or ("exact" if exact else "ais"),
            n_chains=n_chains,
            n_temperatures=n_temperatures,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
        return scored.frames[0].astype(v.dtype)

    def to_rbm(self) -> RBM:
        """Return the RBM as a model of this library, which has a copy of the parameters."""
        check_is_fitted(self)
        named = {"W": self.components_.T, "b_v": self.intercept_visible_, "b_h": self.intercept_hidden_}
        return RBM(**{name: engine.shared(value, name, "float32") for name, value in named.items()})

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

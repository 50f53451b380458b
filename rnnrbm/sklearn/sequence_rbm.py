"""Models of sequences with the interface of a scikit-learn estimator: a sample is a sequence (T, n_features)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from rnnrbm import checkpoint
from rnnrbm.arguments import as_pieces, check_options
from rnnrbm.backend import engine
from rnnrbm.models.registry import SEQUENCE_MODELS, build, options_of
from rnnrbm.rbm import RBM
from rnnrbm.sampling import generate
from rnnrbm.scoring.likelihood import log_likelihood, usable_states
from rnnrbm.scoring.result import LogLikelihood
from rnnrbm.sequence import SequenceModel
from rnnrbm.state_encoder import StateEncoder, check_pieces
from rnnrbm.training.fit import fit
from rnnrbm.training.settings import Training
from rnnrbm.weights import as_rbm

__all__ = ["SequenceRBM"]

#: Units of the smaller layer up to which enumerating it takes less time than the usual annealing.
MOST_ENUMERATED = 16


class SequenceRBM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """RNN-RBM, or another sequence model by name, as an estimator.

    The data are a list of sequences, arrays (T, n_features) whose lengths may differ. :meth:`score` is the mean
    log-likelihood of a frame given the frames before it, so ``GridSearchCV`` and ``cross_val_score`` find the settings
    that predict held-out sequences best.

    Parameters
    ----------
    model : str
        Name of a sequence model, such as ``"rnn-rbm"``, ``"rtrbm"`` or ``"rnn-nade"``; see
        :mod:`rnnrbm.models.registry`.
    n_hidden, n_recurrent : int or None
        Hidden units of a frame's density, and units of the network. None stands for the model's own default; a model
        that has no such layer takes nothing else.
    n_epochs : int
        Passes over the sequences.
    learning_rate : float or None
        None stands for one that suits the model.
    visible : str
        Type of the visible units: ``"binary"``, ``"gaussian"``, ``"softmax"`` ...; see
        :func:`rnnrbm.models.registry.unit_of`.
    model_params : dict or None
        More options of the model, as for :func:`rnnrbm.build`: ``{"cell": "lstm"}``.
    training_params : dict or None
        More settings of training, as for :func:`rnnrbm.fit`: ``{"transpose_range": (-5, 6)}``.
    scoring_method : {"exact", "ais", "raise"} or None
        See :func:`rnnrbm.log_likelihood`. None: exact if the density is normalized or its smaller layer has at most 16
        units, else AIS.
    n_chains, n_temperatures : int or None
        Of AIS and RAISE; None: the usual ones.
    verbose : int
        If not 0, print the loss of each epoch.
    random_state : int, RandomState or None
        Of initial weights, training, sampling and estimated scores.

    Attributes
    ----------
    params_ : dict of str to numpy.ndarray
        Parameters by name. The model is made of them when it is needed.
    history_ : list of dict
        Metrics of each epoch; see :func:`rnnrbm.fit`.
    exact_states_ : numpy.ndarray or None, shape (S, n_features_in_)
        The most frequent frames of binary data, whose terms of the partition function AIS sums exactly.
    mean_length_ : int
        Mean length of the sequences, which is that of samples by default.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from rnnrbm.sklearn import SequenceRBM
    >>> X = [np.eye(4)[np.arange(n) % 4] for n in (12, 17, 20)]
    >>> estimator = SequenceRBM(n_hidden=4, n_recurrent=8, n_epochs=2, random_state=0).fit(X)
    >>> estimator.score_samples(X).shape
    (3,)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "model": [StrOptions(set(SEQUENCE_MODELS))],
        "n_hidden": [Interval(Integral, 1, None, closed="left"), None],
        "n_recurrent": [Interval(Integral, 1, None, closed="left"), None],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "visible": [str],
        "model_params": [dict, None],
        "training_params": [dict, None],
        "scoring_method": [StrOptions({"exact", "ais", "raise"}), None],
        "n_chains": [Interval(Integral, 2, None, closed="left"), None],
        "n_temperatures": [Interval(Integral, 2, None, closed="left"), None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        model: str = "rnn-rbm",
        *,
        n_hidden: int | None = None,
        n_recurrent: int | None = None,
        n_epochs: int = 50,
        learning_rate: float | None = None,
        visible: str = "binary",
        model_params: dict[str, Any] | None = None,
        training_params: dict[str, Any] | None = None,
        scoring_method: str | None = None,
        n_chains: int | None = None,
        n_temperatures: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.n_hidden = n_hidden
        self.n_recurrent = n_recurrent
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.visible = visible
        self.model_params = model_params
        self.training_params = training_params
        self.scoring_method = scoring_method
        self.n_chains = n_chains
        self.n_temperatures = n_temperatures
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Sequence[ArrayLike], y: Any = None) -> Self:
        """Train a new model.

        Parameters
        ----------
        X : list of array-likes (T, n_features)
        y : ignored

        Raises
        ------
        TypeError
            If `model_params` has a name that the model does not know.
        ValueError
            If sequences differ in their features or do not suit the visible units, or a setting is impossible.
        Diverged
            If loss or parameters become NaN or infinite.
        """
        options, settings = self._model_options(), self._training_settings()
        sequences = as_pieces(X, name="sequence")
        rng = check_random_state(self.random_state)
        seeds = [int(seed) for seed in rng.randint(2**31 - 1, size=2)]
        n_features = sequences[0].shape[1]
        made = {"name": self.model, "n_visible": n_features, "seed": seeds[0], **options}
        trained: SequenceModel = build(**made)
        sequences = check_pieces(sequences, trained.density, name="sequence")
        self.history_ = []
        for row in fit(trained, sequences, settings=Training.named({**settings, "seed": seeds[1]})):
            self.history_.append(row)
            if self.verbose:
                print(f"[{type(self).__name__}] epoch {row['epoch']}, loss {row['loss']:.3f}, {row['seconds']:.1f}s")
        self.n_features_in_ = n_features
        self.params_ = {p.name: engine.to_numpy(p) for p in trained.params}
        self.exact_states_ = usable_states(trained, sequences)
        if self.exact_states_ is not None:  # one of a few numbers, so that estimators share the compiled score
            n = len(self.exact_states_)
            self.exact_states_ = self.exact_states_[: n - n % (1 << max(0, n.bit_length() - 4))]
        self.mean_length_ = max(1, round(sum(map(len, sequences)) / len(sequences)))
        self._n_features_out = trained.network.n_outputs
        self._made, self._model = made, trained
        return self

    def _model_options(self) -> dict[str, Any]:
        """Return the options of the model that were chosen; a layer that the model lacks is refused."""
        known = {**options_of(self.model), "visible": "binary"}
        sizes = {"n_hidden": self.n_hidden, "n_recurrent": self.n_recurrent}
        given: dict[str, Any] = {name: value for name, value in sizes.items() if value is not None}
        given |= self.model_params or {}
        given |= {"visible": self.visible} if self.visible != "binary" else {}
        check_options(f"model {self.model!r}", given, known)
        return given

    def _training_settings(self) -> dict[str, Any]:
        """Return the settings of training that were chosen."""
        own: dict[str, Any] = {"epochs": self.n_epochs}
        own |= {"learning_rate": self.learning_rate} if self.learning_rate is not None else {}
        given = self.training_params or {}
        if twice := sorted({"epochs", "learning_rate", "seed"} & set(given)):
            raise ValueError(
                f"training_params has {', '.join(twice)}; set n_epochs, learning_rate and random_state of the estimator"
            )
        Training.named(given, where="training_params")
        return own | given

    def to_model(self) -> SequenceModel:
        """Return the trained model of this library, for all that an estimator does not do, such as ``predict``.

        It is the estimator's own, not a copy: whoever trains it changes the estimator's scores.
        """
        check_is_fitted(self)
        if getattr(self, "_model", None) is None:  # after a pickle
            self._model = build(**self._made)
            checkpoint.assign({p.name: p for p in self._model.params}, self.params_, where=type(self).__name__)
        return self._model

    def __getstate__(self) -> dict[str, Any]:
        # a model is made of graphs, which need not be picklable; parameters are enough to make it again
        return {name: value for name, value in super().__getstate__().items() if name != "_model"}

    def log_likelihood(self, X: Sequence[ArrayLike]) -> LogLikelihood:
        """Return the log-likelihood of every frame given its past, with its standard error.

        Parameters
        ----------
        X : list of array-likes (T, n_features)

        Warns
        -----
        UserWarning
            If the estimate of a partition function is poor.
        """
        trained = self.to_model()
        method = self.scoring_method or ("exact" if trained.normalized or _is_small(trained) else "ais")
        return log_likelihood(
            trained,
            X,
            method=method,
            n_chains=self.n_chains,
            n_temperatures=self.n_temperatures,
            exact_states=None if method == "exact" else self.exact_states_,
            seed=self._seed(),
        )

    def score_samples(self, X: Sequence[ArrayLike]) -> np.ndarray:
        """Return the log-likelihood of each sequence, nats: (n_sequences,)."""
        return self.log_likelihood(X).per_piece

    def score(self, X: Sequence[ArrayLike], y: Any = None) -> float:
        """Return the mean log-likelihood of a frame given its past, nats per frame; higher is better."""
        return self.log_likelihood(X).mean

    def sample(
        self, n_samples: int = 1, n_frames: int | None = None, *, k: int = 50, prime: ArrayLike | None = None
    ) -> np.ndarray:
        """Sample sequences.

        Parameters
        ----------
        n_samples : int
        n_frames : int or None
            Length; None: the mean length of the sequences it was trained on.
        k : int
            Gibbs steps for each frame, for an RBM.
        prime : array of shape (T, n_features) or None
            A beginning that is continued; it is no part of the result.

        Returns
        -------
        numpy.ndarray, shape (n_samples, n_frames, n_features)
        """
        trained, n = self.to_model(), self.mean_length_ if n_frames is None else n_frames
        return generate(trained, n, n_samples=n_samples, k=k, prime=prime, seed=self._seed())

    def transform(self, X: Sequence[ArrayLike]) -> np.ndarray:
        """Return the output of the network after the last frame of each sequence: (n_sequences, n_outputs).

        Raises
        ------
        ValueError
            If the model has no network, such as ``"rbm"``.
        """
        trained = self.to_model()
        if not trained.network.n_outputs:
            raise ValueError(f"model={self._made['name']!r} reads no past, so there is no state of a network")
        sequences = check_pieces(X, trained.density, name="sequence")
        # the output before one frame more, whatever that is
        longer = [np.concatenate([sequence, sequence[-1:]]) for sequence in sequences]
        return np.stack([outputs[-1] for outputs in StateEncoder(trained)(longer)])

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def _is_small(model: SequenceModel) -> bool:
    """Whether a binary layer of an RBM is so small that enumerating it is fast."""
    rbm = as_rbm(model.density)
    if not isinstance(rbm, RBM):
        return False
    sizes = [n for n, unit in zip(rbm.W.type.shape, (rbm.visible, rbm.hidden), strict=True) if unit.is_binary]
    return bool(sizes) and min(sizes) <= MOST_ENUMERATED

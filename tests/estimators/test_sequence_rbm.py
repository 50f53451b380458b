"""SequenceRBM: fits, scores and samples like the library's functions, and obeys scikit-learn's tools."""

import io
import pickle

import joblib
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import rnnrbm
from rnnrbm.backend import programs
from rnnrbm.sklearn import SequenceRBM
from rnnrbm.state_encoder import StateEncoder

#: one program for all epochs, and for all folds
STEADY = {"k": 2, "state_dropout": 0.0, "input_dropout": 0.0, "batch_size": 2}


def sequences(n: int = 9, seed: int = 0) -> list[np.ndarray]:
    """Binary sequences of different lengths, whose frames follow each other: a unit stays on or off for long."""
    rng = np.random.default_rng(seed)
    found = []
    for length in rng.integers(12, 20, n):
        flips = rng.random((length, 3)) < np.array([0.1, 0.2, 0.4])
        found.append(np.cumsum(flips, axis=0) % 2)
    return found


def small(**options: object) -> SequenceRBM:
    return SequenceRBM(
        **{"n_hidden": 3, "n_recurrent": 5, "n_epochs": 3, "training_params": STEADY, "random_state": 0, **options}
    )


@pytest.fixture(scope="module")
def fitted() -> SequenceRBM:
    return small(n_epochs=40, learning_rate=0.03).fit(sequences())


def test_scores_are_exact_log_likelihoods(fitted: SequenceRBM) -> None:
    X = sequences(4, seed=1)
    model = fitted.to_model()
    W, b_v, b_h = (np.asarray(p.get_value(), float) for p in model.density.tensors())
    W_uv, W_uh = (np.asarray(p.get_value(), float) for p in model.bias_weights)
    v = np.array([[i >> j & 1 for j in range(3)] for i in range(8)], float)
    expected = []
    for sequence, u in zip(X, StateEncoder(model)(X), strict=True):
        total = 0.0
        for frame, past in zip(sequence, u, strict=True):
            log_p = v @ (b_v + past @ W_uv) + np.logaddexp(0.0, v @ W + b_h + past @ W_uh).sum(axis=1)
            total += log_p[int(frame @ [1, 2, 4])] - logsumexp(log_p)
        expected.append(total)
    np.testing.assert_allclose(fitted.score_samples(X), expected, rtol=1e-4)
    assert fitted.score(X) == pytest.approx(sum(expected) / sum(map(len, X)), rel=1e-4)


def test_training_raises_the_score_and_is_the_librarys(fitted: SequenceRBM) -> None:
    X = sequences(4, seed=1)
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 41))
    assert fitted.score(X) > small(n_epochs=1, learning_rate=1e-6).fit(sequences()).score(X) + 0.2
    assert set(fitted.params_) == {p.name for p in fitted.to_model().params}
    again = clone(fitted).fit(sequences())
    for name, value in fitted.params_.items():
        np.testing.assert_array_equal(again.params_[name], value)


def test_a_pickle_holds_arrays_and_scores_the_same(fitted: SequenceRBM) -> None:
    X = sequences(4, seed=1)
    file = io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(file)):
        assert "_model" not in vars(copy)
        np.testing.assert_array_equal(copy.score_samples(X), fitted.score_samples(X))
        copy.set_params(n_hidden=7, model="rnn-nade")  # of the next fit; what is fitted stays
        assert copy.score(X) == fitted.score(X)


def test_samples_and_states(fitted: SequenceRBM) -> None:
    X = sequences(4, seed=1)
    drawn = fitted.sample(2)
    assert drawn.shape == (2, fitted.mean_length_, 3)
    assert fitted.mean_length_ == round(np.mean([len(x) for x in sequences()]))
    np.testing.assert_array_equal(drawn, fitted.sample(2))
    assert fitted.sample(3, 4, k=5, prime=X[0]).shape == (3, 4, 3)
    features = fitted.transform(X)
    assert features.shape == (4, 5) == (4, len(fitted.get_feature_names_out()))
    # the state after a sequence is that before the next frame, whatever it is
    for last in (0, 1):
        longer = [np.concatenate([x, np.full((1, 3), last)]) for x in X]
        np.testing.assert_allclose(features, [u[-1] for u in StateEncoder(fitted.to_model())(longer)], atol=1e-6)


def test_folds_and_grids_divide_lists_of_sequences() -> None:
    X = sequences(9)
    scores = cross_val_score(small(), X, cv=3)
    first = small().fit(X[3:])
    assert scores[0] == pytest.approx(first.score(X[:3]), rel=1e-5)
    objects = np.empty(9, object)
    objects[:] = X
    np.testing.assert_array_equal(small().fit(objects[3:]).score_samples(objects[:3]), first.score_samples(X[:3]))
    search = GridSearchCV(small(n_epochs=20), {"learning_rate": [1e-6, 0.03]}, cv=2).fit(X)
    assert search.best_params_ == {"learning_rate": 0.03}
    assert search.score(X[:3]) == search.best_estimator_.score(X[:3])


def test_folds_share_their_programs(fitted: SequenceRBM) -> None:
    X = sequences(9)
    small().fit(X[:6])
    before = set(programs._programs)
    small().fit(X[3:]).score(X[:3])
    assert sum(map(len, X[:6])) != sum(map(len, X[3:]))
    assert set(programs._programs) <= before


def test_it_is_a_step_of_a_pipeline(fitted: SequenceRBM) -> None:
    reversed_time = FunctionTransformer(lambda X: [x[::-1] for x in X])
    pipeline = make_pipeline(reversed_time, small()).fit(sequences())
    assert pipeline.score(sequences(2)) == pipeline[-1].score([x[::-1] for x in sequences(2)])


def test_another_model_and_another_score() -> None:
    X = sequences(4)
    static = small(model="rbm", n_recurrent=None, n_epochs=1, training_params=None).fit(X)
    with pytest.raises(ValueError, match="reads no past"):
        static.transform(X)
    exact = static.score(X)
    assert static.log_likelihood(X).settings == "exact"
    static.set_params(scoring_method="ais", n_chains=200, n_temperatures=200)
    assert static.exact_states_ is not None
    static.exact_states_ = static.exact_states_[:3]
    assert static.score(X) == pytest.approx(exact, abs=0.02)
    assert "3 frames enumerated" in static.log_likelihood(X).settings


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "hopfield"}, ValueError, "model"),
        ({"n_hidden": 0}, ValueError, "n_hidden"),
        ({"model": "rbm"}, TypeError, "n_recurrent"),
        ({"model_params": {"cel": "gru"}}, TypeError, "did you mean 'cell'"),
        ({"training_params": {"epochs": 3}}, ValueError, "n_epochs"),
        ({"training_params": {"kk": 3}}, ValueError, "training_params"),
    ],
)
def test_a_wrong_parameter_is_refused(options: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        small(**options).fit(sequences(2))


def test_wrong_sequences_are_refused(fitted: SequenceRBM) -> None:
    with pytest.raises(ValueError, match="sequence 1"):
        small().fit([np.zeros((4, 3)), np.zeros((4, 2))])
    with pytest.raises(ValueError, match="sequence 0"):
        small().fit([np.full((4, 3), 0.5)])
    with pytest.raises(ValueError, match="visible units"):
        fitted.score([np.zeros((4, 2))])


def test_the_model_is_of_the_library(fitted: SequenceRBM, tmp_path: object) -> None:
    fitted.to_model().save(tmp_path / "model.npz")  # type: ignore[operator]
    model = rnnrbm.load_model(tmp_path / "model.npz")  # type: ignore[operator]
    X = sequences(2)
    assert rnnrbm.log_likelihood(model, X, method="exact").mean == pytest.approx(fitted.score(X), rel=1e-6)

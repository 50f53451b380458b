"""BernoulliRBM: scikit-learn's own tests and checks, and its learning rule against NumPy."""

import importlib
import pickle
import sys

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM as TheirRBM
from sklearn.utils.estimator_checks import estimator_checks_generator

from rnnrbm.backend.random import uniform_numpy
from rnnrbm.sklearn import BernoulliRBM, learning
from rnnrbm.training.fit import Diverged

THEIRS = importlib.import_module("sklearn.neural_network.tests.test_rbm")

#: Tests of scikit-learn that cannot pass, and why.
EXPECTED_TO_FAIL = {
    "test_fit_gibbs": "compares weights after 42 updates with the numbers of NumPy's random stream, to four decimals"
}
#: Checks of scikit-learn that cannot pass. They expect those failures of their own class too.
EXPECTED_FAILED_CHECKS = {
    "check_methods_sample_order_invariance": "score_samples draws a unit for each row, as scikit-learn's does",
    "check_methods_subset_invariance": "score_samples draws a unit for each row, as scikit-learn's does",
}


def cases() -> list:
    """The cases of scikit-learn's tests of its class: a function, its arguments, and whether it captures output."""
    found = []
    for name, test in vars(THEIRS).items():
        if not name.startswith("test_"):
            continue
        marks = getattr(test, "pytestmark", [])
        tables = [mark.args for mark in marks if mark.name == "parametrize"]
        assert len(tables) <= 1
        for i, values in enumerate(tables[0][1] if tables else [()]):
            names = [x.strip() for x in tables[0][0].split(",")] if tables else []
            row = dict(zip(names, values if len(names) > 1 else (values,), strict=True)) if names else {}
            reason = EXPECTED_TO_FAIL.get(name)
            mark = [pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)] if reason else []
            found.append(pytest.param(test, row, id=f"{name}-{i}", marks=mark))
    return found


@pytest.mark.parametrize(("test", "arguments"), cases())
def test_scikit_learns_own_tests_pass(
    test: object, arguments: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(THEIRS, "BernoulliRBM", BernoulliRBM)
    if "capsys" in test.__code__.co_varnames[: test.__code__.co_argcount]:  # type: ignore[attr-defined]
        arguments = arguments | {"capsys": capsys}
    test(**arguments)  # type: ignore[operator]


def test_there_are_as_many_cases_as_scikit_learn_counts() -> None:
    assert len(cases()) >= 24
    assert set(EXPECTED_TO_FAIL) <= set(vars(THEIRS))


def checks() -> list:
    found = []
    for estimator, check in estimator_checks_generator(BernoulliRBM(n_components=3, n_iter=2)):
        name = check.func.__name__
        reason = EXPECTED_FAILED_CHECKS.get(name)
        mark = [pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True)] if reason else []
        mark += [pytest.mark.skip("needs SCIPY_ARRAY_API")] if name == "check_array_api_input" else []
        found.append(pytest.param(estimator, check, id=name, marks=mark))
    return found


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize(("estimator", "check"), checks())
def test_scikit_learns_checks_of_estimators_pass(estimator: BernoulliRBM, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def binary(n_samples: int, n_features: int, seed: int = 0) -> np.ndarray:
    """Rows with correlated columns, whose means all differ."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, (n_samples, 1))
    p = np.where(group, np.linspace(0.1, 0.9, n_features), np.linspace(0.7, 0.3, n_features))
    return (rng.random((n_samples, n_features)) < p).astype(float)


class Reference:
    """The rule of learning in NumPy, with the random numbers of the library."""

    def __init__(self, W: np.ndarray, n_chains: int, key: np.ndarray, k: int, rate: float) -> None:
        self.W, self.b_v, self.b_h = W, np.zeros(W.shape[0]), np.zeros(W.shape[1])
        self.h, self.lam = np.zeros((n_chains, W.shape[1])), np.full(W.shape[1], 0.5)
        self.key, self.draw, self.k, self.rate = key, 0, k, rate

    def sample(self, p: np.ndarray) -> np.ndarray:
        u = uniform_numpy(self.key, self.draw, p.shape)
        self.draw += 1
        return (u < p).astype(float)

    def visible(self, h: np.ndarray) -> np.ndarray:
        return expit(h @ self.W.T + self.b_v)

    def hidden(self, v: np.ndarray) -> np.ndarray:
        return expit(v @ self.W + self.b_h)

    def negative(self, method: str, v: np.ndarray) -> np.ndarray:
        if method == "cd":
            for _ in range(self.k):
                v = self.sample(self.visible(self.sample(self.hidden(v))))
            return v
        v = self.sample(self.visible(self.h))
        for _ in range(self.k - 1):
            v = self.sample(self.visible(self.sample(self.hidden(v))))
        self.h = self.sample(self.hidden(v))
        return v

    def update(self, v: np.ndarray, mean: np.ndarray | None, method: str) -> None:
        negative = self.negative(method, v)
        h, h_neg = self.hidden(v), self.hidden(negative)
        mu, lam = (0.0, 0.0) if mean is None else (mean, self.lam)
        of_data = (v - mu).T @ (h - lam) / len(v)
        of_model = (negative - mu).T @ (h_neg - lam) / len(negative)
        dW = self.rate * (of_data - of_model)
        db_v = self.rate * (v.mean(0) - negative.mean(0))
        db_h = self.rate * (h.mean(0) - h_neg.mean(0))
        self.W = self.W + dW
        self.b_v = self.b_v + db_v - dW @ np.broadcast_to(lam, h.shape[1])
        self.b_h = self.b_h + db_h - np.broadcast_to(mu, v.shape[1]) @ dW
        self.lam = self.lam + 0.01 * (h.mean(0) - self.lam)


@pytest.mark.parametrize(("method", "k", "centered"), [("pcd", 1, False), ("pcd", 3, False), ("cd", 2, True)])
def test_updates_are_those_of_numpy(method: str, k: int, centered: bool) -> None:
    X = binary(25, 5)  # batches of 10, 10 and 5
    mine = BernoulliRBM(4, learning_rate=0.3, n_iter=2, random_state=3, method=method, k=k, centered=centered).fit(X)
    rng = np.random.RandomState(3)
    reference = Reference(rng.normal(0.0, 0.01, (4, 5)).T, 10, mine._key, k, 0.3)
    for _ in range(2):
        for first in (0, 10, 20):
            batch = X[first : first + 10]
            n = len(batch)
            if method == "cd" and n < 10:  # the library draws for the padding too
                batch = np.concatenate([batch, np.zeros((10 - n, 5))])
                chains = reference.negative("cd", batch)[:n]
                reference.negative = lambda method, v, chains=chains: chains  # type: ignore[method-assign]
                reference.update(batch[:n], X.mean(0) if centered else None, method)
                del reference.negative
            else:
                reference.update(batch, X.mean(0) if centered else None, method)
    np.testing.assert_allclose(mine.components_, reference.W.T, atol=2e-6)
    np.testing.assert_allclose(mine.intercept_visible_, reference.b_v, atol=2e-6)
    np.testing.assert_allclose(mine.intercept_hidden_, reference.b_h, atol=2e-6)
    assert np.abs(mine.intercept_visible_).max() > 0.05
    np.testing.assert_array_equal(mine.h_samples_, reference.h)


def test_passes_one_by_one_are_the_same_as_at_once(capsys: pytest.CaptureFixture) -> None:
    X = binary(25, 5)
    at_once = BernoulliRBM(4, n_iter=3, random_state=1).fit(X)
    printed = BernoulliRBM(4, n_iter=3, random_state=1, verbose=1).fit(X)
    assert capsys.readouterr().out.count("pseudo-likelihood") == 3
    np.testing.assert_array_equal(at_once.components_, printed.components_)
    step_by_step = BernoulliRBM(4, random_state=1)
    for _ in range(3):
        for first in (0, 10, 20):
            assert step_by_step.partial_fit(X[first : first + 10]) is step_by_step
    np.testing.assert_allclose(at_once.components_, step_by_step.components_, atol=1e-6)
    np.testing.assert_array_equal(at_once.h_samples_, step_by_step.h_samples_)


def test_a_block_is_padded_with_updates_that_change_nothing() -> None:
    found = list(learning.blocks([np.ones((3, 2)), np.ones((1, 2))], 3, 2))
    assert [block.v.shape for block in found] == [(64, 3, 2)]
    assert found[0].counts.sum() == 4
    assert len(list(learning.blocks([np.ones((3, 2))] * 65, 3, 2))) == 2


def fitted(n_features: int, n_components: int, dtype: type = np.float64) -> BernoulliRBM:
    """An estimator with weights that are not small, nor alike."""
    rng = np.random.default_rng(5)
    model = BernoulliRBM(n_components, n_iter=0, random_state=2).fit(binary(12, n_features).astype(dtype))
    model.components_ = rng.normal(0.0, 0.8, (n_components, n_features)).astype(dtype)
    model.intercept_visible_ = rng.normal(0.0, 0.5, n_features).astype(dtype)
    model.intercept_hidden_ = rng.normal(-0.3, 0.5, n_components).astype(dtype)
    return model


def test_scores_and_features_are_those_of_scikit_learn() -> None:
    mine, X = fitted(7, 4), binary(30, 7)
    theirs = TheirRBM(4, n_iter=0, random_state=2).fit(X)
    for name in ("components_", "intercept_visible_", "intercept_hidden_"):
        setattr(theirs, name, getattr(mine, name))
    np.testing.assert_allclose(mine.score_samples(X), theirs.score_samples(X), rtol=1e-12)
    np.testing.assert_allclose(mine.transform(X), theirs.transform(X), rtol=1e-12)
    np.testing.assert_array_equal(mine.gibbs(X), theirs.gibbs(X))


def states(n: int) -> np.ndarray:
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)


@pytest.mark.parametrize("shape", [(7, 4), (3, 6)])  # each layer is enumerated once
def test_log_likelihood_is_that_of_enumeration(shape: tuple[int, int]) -> None:
    mine = fitted(*shape, dtype=np.float32)
    v = states(shape[0])

    def unnormalised(x: np.ndarray) -> np.ndarray:
        a = x @ mine.components_.T.astype(float) + mine.intercept_hidden_
        return x @ mine.intercept_visible_.astype(float) + np.logaddexp(0.0, a).sum(axis=1)

    log_p = unnormalised(v) - logsumexp(unnormalised(v))
    np.testing.assert_allclose(mine.log_likelihood(v), log_p, atol=2e-5)
    assert mine.log_likelihood(v.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match="0 and 1"):
        mine.log_likelihood(v * 0.5)


def three_patterns() -> np.ndarray:
    """Rows of three patterns, in random order, 30, 50 and 20 of each."""
    patterns = [[0, 0, 0, 1.0, 1], [1, 1, 0, 1, 0], [1, 1, 1, 0, 0]]
    return np.repeat(patterns, [30, 50, 20], axis=0)[np.random.default_rng(0).permutation(100)]


#: Rules whose programs other tests compile too, but for the last.
RULES = [
    {"method": "pcd", "k": 3},
    {"method": "cd", "k": 2, "centered": True},
    {"method": "tempered", "n_betas": 4, "centered": True},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["method"])
def test_learning_comes_near_the_distribution(rule: dict) -> None:
    X = three_patterns()
    mine = BernoulliRBM(4, random_state=0, learning_rate=0.02, n_iter=1500, **rule).fit(X)
    entropy = -sum(p * np.log(p) for p in (0.3, 0.5, 0.2))
    assert -entropy - 0.3 < mine.log_likelihood(X).mean() <= -entropy
    assert mine.h_samples_.shape == (10, 4)
    copy = pickle.loads(pickle.dumps(mine))
    assert set(vars(copy)) == set(vars(mine))
    for name, value in vars(mine).items():
        np.testing.assert_array_equal(getattr(copy, name), value)


def test_a_copy_goes_on_as_the_estimator_does() -> None:
    mine = BernoulliRBM(4, random_state=0, n_iter=2).fit(binary(20, 5))
    copy = pickle.loads(pickle.dumps(mine))
    for each in (mine, copy):
        each.partial_fit(binary(10, 5))
    np.testing.assert_array_equal(mine.components_, copy.components_)
    assert clone(mine).get_params() == mine.get_params()


def test_chains_go_on_when_the_method_changes() -> None:
    mine = BernoulliRBM(4, random_state=0, n_iter=2, n_betas=4).fit(binary(20, 5))
    mine.set_params(method="tempered")
    chains = mine._continued_chains()
    assert chains.shape == (4, 10, 4)
    np.testing.assert_array_equal(chains, np.broadcast_to(mine.h_samples_, chains.shape))


def test_data_of_large_numbers_diverge_in_words() -> None:
    X = np.full((10, 3), 1e30, np.float32)
    with np.errstate(all="ignore"), pytest.raises(Diverged, match="learning rate lower than"):
        BernoulliRBM(2, learning_rate=1e20, random_state=0).fit(X)


def test_a_wrong_parameter_is_refused() -> None:
    for wrong in ({"method": "none"}, {"k": 0}, {"n_betas": 1}, {"centered": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BernoulliRBM(2, **wrong).fit(binary(10, 3))


def test_grid_search_by_likelihood() -> None:
    search = GridSearchCV(
        BernoulliRBM(4, n_iter=100, random_state=0),
        {"learning_rate": [1e-6, 0.1]},
        scoring=lambda estimator, X, y=None: estimator.log_likelihood(X).mean(),
        cv=2,
    ).fit(three_patterns())
    assert search.best_params_ == {"learning_rate": 0.1}


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "rnnrbm.sklearn")
    with pytest.raises(ImportError, match=r'pip install "scikit-learn>=1.6"'):
        importlib.import_module("rnnrbm.sklearn")

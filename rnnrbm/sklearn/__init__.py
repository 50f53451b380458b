"""Estimators with scikit-learn's interface: an RBM of binary rows, and models of sequences.

    from rnnrbm.sklearn import BernoulliRBM, SequenceRBM

They need scikit-learn, ``pip install scikit-learn``.
"""

try:
    import sklearn.base  # noqa: F401
except ImportError as error:
    raise ImportError(
        'rnnrbm.sklearn needs the package scikit-learn, 1.6 or later; install it with pip install "scikit-learn>=1.6"'
    ) from error

from rnnrbm.sklearn.bernoulli_rbm import BernoulliRBM
from rnnrbm.sklearn.sequence_rbm import SequenceRBM

__all__ = ["BernoulliRBM", "SequenceRBM"]

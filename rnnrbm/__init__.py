"""RNN-RBM sequence models: train, measure and sample them."""

__version__ = "0.1.0"

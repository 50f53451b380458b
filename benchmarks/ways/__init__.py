"""Ways to train a conditional RBM, measured at equal time; see :mod:`benchmarks.ways.__main__`."""

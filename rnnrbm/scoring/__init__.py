"""Scoring: likelihoods, partition functions, metrics, baselines."""

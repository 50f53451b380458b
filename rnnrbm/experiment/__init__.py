"""Experiments: settings, run folders, evaluation, plots."""

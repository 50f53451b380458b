"""The kinds of frame: one file for each, and the registry of their names."""

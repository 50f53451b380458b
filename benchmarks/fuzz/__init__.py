"""Mutants of every file that the library reads, each of which must be accepted or refused in the library's own way."""

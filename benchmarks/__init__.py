"""Benchmarks: every path of k2 against a bare-library loop measured beside it, in turn, in one run."""

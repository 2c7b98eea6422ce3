"""Benchmarks, and tests of them."""

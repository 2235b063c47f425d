"""Benchmarks: what things cost."""

"""Benchmarks: they print figures with their conditions and assert none."""

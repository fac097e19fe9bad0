"""Benchmarks: Roost against its budgets, as ratios to well-known servers measured in the same run. `python -m bench`."""

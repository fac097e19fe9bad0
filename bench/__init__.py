"""Benchmarks: Roost against its budgets, as ratios to well-known servers in the same run. `python -m bench`."""

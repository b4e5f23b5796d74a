"""Benchmarks: `python -m bench`. Ratios measured in one run against a floor, never absolute times; see docs/performance.md."""

"""In-memory twins of the outside world and the fleet simulator.

Imported by tests, benchmarks and `vezha demo` only; no room of the product imports it.
"""

"""The sandbox: the HTTP APIs of the four platforms, seeded and deterministic, for tests, the demo and benchmarks."""

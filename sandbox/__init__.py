"""The sandbox: the four platforms' HTTP interfaces, seeded and deterministic, for tests, the demo and benchmarks."""

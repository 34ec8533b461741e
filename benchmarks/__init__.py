"""Benchmarks: each measures a job beside a floor that does the same work without Prefect."""

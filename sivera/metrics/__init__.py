"""Metrics: their definitions, how runs are counted, storage, and presentation."""

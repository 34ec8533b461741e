"""Metrics: names and units, the rules of counting, storage, and the forms in which the figures are shown."""

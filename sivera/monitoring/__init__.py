"""Telling monitors outside of Prefect how a run ended: a signed webhook, and a dead-man's ping."""

"""The flows: one file a job, each reads like its runbook."""

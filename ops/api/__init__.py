"""The HTTP API: starts jobs for callers that used to call the cron endpoints.

A call passes `guard` (the secret), then `app` (routes and parameters), then `runs` (Prefect). All of it is
asynchronous, so a caller that waits for minutes does not delay others.
"""

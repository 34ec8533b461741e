"""The HTTP door: starts jobs for callers that used to call the cron endpoints, over Prefect's API.

What comes in passes `guard` (the secret, and the slow-down of guesses), then `app` (routes and shapes), then `runs`
(Prefect). All of it is asynchronous: a caller that waits for minutes, or that is slowed, holds up nobody else.
"""

"""Grants: a team connects one, the jobs keep it alive, and callers get an access token that is valid for their call.

connecting   a team connects a grant, or connects it again
disconnecting   a grant is let go: revoked at the platform, its tokens forgotten
source       the access token of a grant, renewed just before it is used
renewal      the only way to renew a grant: lease, journal, call, write
spool        renewed tokens on disk until the database has them
rules        facts of each platform, verdicts, backoff, strikes, outages
refreshing   the work of refresh-tokens: which grants are due, and what a run's failures mean
keys         the keys that encrypt tokens, and the change from one to the next
"""

"""Grants: a team connects one, the jobs keep it alive, and callers get an access token that is valid for their call.

connecting      connect a grant with tokens, for the first time or again
consent, links  get those tokens by a consent in the browser, or by a link that a team's user opens
disconnecting   revoke a grant at its platform and forget its tokens
discovering     find the ad accounts that a grant reaches now
source          the access token of a grant, renewed just before it is used
renewal         the only way to renew a grant: lease, journal, call, write
spool           renewed tokens on disk until the database has them
rules           facts of each platform, outcomes, backoff, strikes, outages
refreshing      the work of refresh-tokens: which grants are due, and what a run's failures mean
keys            the keys that encrypt tokens, and their rotation
"""

"""Grants: how a team's is connected, how it is kept alive, and an access token that is valid for the call at hand.

connecting   a team connects a grant, or connects it again
source       the access token of a grant for whoever calls its platform, renewed just in time
renewal      the one way in which a grant is renewed: lease, journal, call, write
spool        renewed tokens on disk until the database has them
rules        facts of each platform, verdicts, backoff, strikes, outages
refreshing   what refresh-tokens does: which grants are due, and what a run's failures mean
"""

"""`sivera credentials connect` and `link`: connect a grant by a consent in the browser instead of a pasted token."""

import webbrowser

from sqlalchemy.orm import Session

from ops.commands.credentials import say_carried
from ops.commands.session import Flag, GrantName, GrantPlatform, TeamName, open_resources, read_secret
from ops.commands.tables import print_table, say
from ops.loopback import PORT, listen, take_answer
from sivera.accounts import queries as account_queries
from sivera.clock import read_clock
from sivera.grants import consent, links
from sivera.grants.connecting import Connection
from sivera.settings import read_settings


def connect(
    *,
    platform: GrantPlatform,
    team: TeamName,
    name: GrantName = "main",
    region: str = "",
    no_browser: Flag = False,
    redirect_uri: str = "",
) -> None:
    """Connect a grant: open the platform's consent page, store the tokens, and find the ad accounts.

    Args:
        platform: The platform of the grant.
        team: The team of the grant; a new name creates a new team.
        name: Distinguishes a team's grants on one platform. Using a name again replaces the tokens.
        region: The region of the user's account; on Amazon: na, eu or fe.
        no_browser: Print the link for a browser elsewhere, and ask for the address to which it was redirected.
        redirect_uri: The redirect URI that is registered at the platform. If it does not lead to this machine, paste
            the address to which the browser was redirected.
    """
    from tasks import events, grants  # noqa: PLC0415

    with open_resources() as engine:
        keyring, client = grants.keyring(), grants.client(platform)
        redirect = redirect_uri or f"http://{client.login.loopback}:{PORT}/{platform.value}"
        consent.check_redirect(redirect)

        def begin() -> str:
            return consent.begin(engine, keyring, client, team=team, name=name, region=region, redirect_uri=redirect)

        def finish(answer_url: str) -> Connection:
            return consent.finish(engine, keyring, grants.client, answer_url, notify=events.notify)

        if no_browser or not consent.is_loopback(redirect):
            page = begin()
            say(f"Allow the access at this page, in any browser: {page}")
            say(f"The browser is then redirected to {redirect}, which may show an error. Copy the address from there.")
            connected = finish(read_secret("the address from the browser").get_secret_value())
        else:
            with listen(redirect) as listener:
                page = begin()
                is_open = webbrowser.open(page)
                how = "in the browser" if is_open else "in a browser on this machine (or pass --no-browser)"
                say(f"Allow the access {how}: {page}")
                say(f"The answer goes to {redirect}, which must be registered for our application at the platform.")
                connected = take_answer(listener, redirect, finish, _words, consent.STATE_LIFE.total_seconds())
        with Session(engine) as session:
            accounts = account_queries.accounts_of(session, connected.credential_id)
    say(_words(connected))
    if accounts:
        print_table(
            ("account", "name", "platform's id", "currency", "time zone", "status"),
            [(one.id, one.name, one.external_id, one.currency, one.timezone, one.status) for one in accounts],
        )
    say_carried(connected)


def _words(done: Connection) -> str:
    return f"Connected {done.platform.value} grant {done.credential_id} ({done.name}) of team {done.team}."


def link(*, platform: GrantPlatform, team: TeamName, name: GrantName = "main") -> None:
    """Print a link with which a team's user connects one grant in a browser, within 24 hours.

    It leads to the HTTP API at SIVERA_PUBLIC_URL.
    """
    from tasks import grants  # noqa: PLC0415

    address = read_settings().public_url
    with open_resources() as engine:
        with Session(engine) as session:
            now = read_clock(session)
        made = links.make_link(grants.keyring(), address, platform=platform, team=team, now=now, name=name)
    if links.is_of_this_machine(address):
        say("It works only on this machine: for others set SIVERA_PUBLIC_URL to the address of the HTTP API.")
    say(f"If you have not done so yet, register this redirect at {platform.value}: {links.callback_of(address)}")
    say(made)

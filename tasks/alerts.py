"""The steps of check-alerts."""

import logging
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from blocks.alert_channels import load_channels
from blocks.server import links
from sivera.alerts import checking, sending
from sivera.alerts.checking import CheckSummary
from sivera.alerts.job_rules import LOOK_BACK
from sivera.alerts.options import AlertOptions, Channel
from sivera.alerts.queries import list_open
from sivera.alerts.sending import LinkOf, Sent
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.grants.links import is_of_this_machine, make_link
from sivera.settings import read_settings
from sivera.units import counted
from sivera.values import PlatformName
from tasks import grants, resources
from tasks.announcing import announce
from tasks.events import notify_all
from tasks.history import read_history
from tasks.naming import step
from tasks.pages import show_table

logger = logging.getLogger("sivera.alerts")


@step("check")
def check(options: AlertOptions) -> CheckSummary:
    """Open and close alerts. If the jobs cannot be checked, check grants and accounts all the same."""
    occurrences, trouble = None, ""
    try:
        occurrences = read_history(utc_now() - LOOK_BACK, for_alerts=True)
    except ConfigurationError as error:
        trouble = f"the jobs were not checked: {error}"
    summary = checking.check_alerts(resources.engine(), links(), options, occurrences)
    notify_all(summary.events)
    return summary.model_copy(update={"trouble": trouble})


@step("send-messages")
def send_messages() -> dict[Channel, Sent]:
    """Send each channel the messages that it has not accepted yet."""
    return sending.send_messages(resources.engine(), load_channels(), _link_of())


def _link_of() -> LinkOf | None:
    """Return a function that makes links to connect a grant again; None if only this machine could open them."""
    address = read_settings().public_url
    try:
        if is_of_this_machine(address):
            return None
        keyring = grants.keyring()
    except ConfigurationError as error:
        logger.warning("Alerts have no links to connect a grant again: %s", error)
        return None

    def link_of(platform: PlatformName, team: str, name: str, now: datetime) -> str:
        return make_link(keyring, address, platform=platform, team=team, name=name, now=now)

    return link_of


@step("publish-summary")
def publish_summary(summary: CheckSummary) -> None:
    """Show the open alerts as a table, and announce the result."""
    with Session(resources.engine()) as session:
        rows = [
            {
                "since (UTC)": f"{alert.since.astimezone(UTC):%Y-%m-%d %H:%M}",
                "kind": alert.kind,
                "title": alert.title,
                "link": alert.link,
            }
            for alert in list_open(session)
        ]
    # Few of a day's 288 runs find something new. The others save no new version of the table.
    show_table(
        "check-alerts-open",
        f"{counted(len(rows), 'open alert')}.",
        rows,
        all_of_them="sivera alerts list",
        if_changed=True,
    )
    announce(
        success=summary.success,
        processed=summary.still_open,
        failed=summary.refused,
        opened=len(summary.opened),
        closed=len(summary.closed),
    )

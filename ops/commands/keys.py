"""`sivera keys`: the keys that encrypt tokens, from the terminal.

May not import prefect at its top; see `ops.cli`.
"""

from cyclopts import App

from ops.stack.prefect_server import use_running_stack

keys = App(name="keys", help="The keys that encrypt tokens in the database.")


@keys.command(name="list")
def list_keys() -> None:
    """List the keys by their ids, how many tokens each encrypts, and which one is current."""
    use_running_stack()
    from ops.commands import key_actions  # noqa: PLC0415

    key_actions.list_keys()


@keys.command
def rotate() -> None:
    """Make a new key and encrypt all tokens anew with it, while jobs run.

    Where an earlier rotation was interrupted, go on with it, and make no other key.
    """
    use_running_stack()
    from ops.commands import key_actions  # noqa: PLC0415

    key_actions.rotate_keys()

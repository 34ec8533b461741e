"""What `ops.commands.keys` does once the way to the Prefect server is set: it imports prefect."""

from sqlalchemy.orm import Session

from blocks.names import TOKEN_KEY
from blocks.token_key import load_token_key
from ops.commands.session import open_database
from ops.commands.tables import print_table, say, to_minute
from sivera.grants import key_queries as queries
from sivera.grants.keys import Rotation, check_keyring, count_pending, only_rotation, rotate


def list_keys() -> None:
    """Print the keys of the block and those that the database knows of."""
    keyring = load_token_key().get_keyring()
    with open_database() as engine, Session(engine) as session:
        checks = {check.id: check for check in queries.list_checks(session)}
        tokens = queries.tokens_by_key(session)
    print_table(
        ("id", "tokens", "state", "known since (UTC)"),
        [
            (
                key_id,
                str(tokens[key_id]),
                _state(key_id, keyring.current, key_id in keyring.key_ids, tokens[key_id]),
                to_minute(checks[key_id].created_at) if key_id in checks else "not used yet",
            )
            for key_id in sorted(keyring.key_ids | checks.keys() | tokens.keys())
        ],
        notes=[],
        empty="There are no keys: make one with `sivera deploy`.",
    )


def rotate_keys() -> None:
    """Change to a new key, or finish an earlier change.

    Raises:
        ConfigurationError: The block's keys are not those of the database.
    """
    with open_database() as engine, only_rotation(engine):
        block = load_token_key()
        keyring = block.get_keyring()
        check_keyring(engine, keyring)
        done = Rotation(grants=0, undecryptable=())
        if pending := count_pending(engine, keyring):
            say(f"Going on with the change to key {keyring.current}: {pending} grants are left.")
            done = rotate(engine, keyring, say)
        if not done.grants:
            block = block.with_new_key()
            # First where every process finds it, and then in use.
            block.save(TOKEN_KEY, overwrite=True)
            keyring = block.get_keyring()
            say(f"Made key {keyring.current} and saved it in the block token-key/{TOKEN_KEY}: keep a copy of it.")
            done = rotate(engine, keyring, say)
    say(f"All tokens are encrypted with key {keyring.current}.")
    for credential_id in done.undecryptable:
        say(f"Except those of grant {credential_id}, which no key decrypts: its team must connect it again.")
    say("Backups from before need the keys from before: leave these in the block while you keep such backups.")


def _state(key_id: str, current: str, is_here: bool, tokens: int) -> str:
    if not is_here:
        return "missing in the block" if tokens else "retired, and no longer in the block"
    if key_id == current:
        return "current"
    return "still in use: run sivera keys rotate" if tokens else "retired"

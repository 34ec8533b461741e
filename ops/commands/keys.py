"""`sivera keys`: the keys that encrypt tokens."""

from cyclopts import App
from sqlalchemy.orm import Session

from blocks.names import TOKEN_KEY
from blocks.token_key import load_token_key
from ops.commands.session import open_resources
from ops.commands.tables import print_table, say
from sivera.crypto import Keyring
from sivera.grants import queries
from sivera.grants.keys import only_rotation
from sivera.grants.keys import rotate as rotate_keys

keys = App(name="keys")


@keys.command(name="list")
def list_keys() -> None:
    """List the keys: their ids, how many tokens each one encrypts, and which one is current."""
    keyring = load_token_key().get_keyring()
    with open_resources() as engine, Session(engine) as session:
        known_since = {check.id: check.created_at for check in queries.list_checks(session)}
        tokens = queries.tokens_by_key(session)
    print_table(
        ("id", "tokens", "state", "known since (UTC)"),
        [
            (id_, tokens[id_], _state(id_, keyring, tokens[id_]), known_since.get(id_, "not used yet"))
            for id_ in sorted(keyring.key_ids | known_since.keys() | tokens.keys())
        ],
        "There are no keys: create one with `sivera deploy`.",
    )


@keys.command
def rotate() -> None:
    """Create a new key and re-encrypt all tokens with it, even while jobs run.

    If an earlier rotation was interrupted, this only finishes it.
    """
    with open_resources() as engine, only_rotation(engine):
        block = load_token_key()
        keyring = block.get_keyring()
        done = rotate_keys(engine, keyring, say)
        if done.grants:
            say(f"This finished an interrupted rotation to key {keyring.current}.")
        else:
            block = block.with_new_key()
            # Before its first use, every process must be able to load the key.
            block.save(TOKEN_KEY, overwrite=True)
            keyring = block.get_keyring()
            say(f"Created key {keyring.current} and saved it in the block token-key/{TOKEN_KEY}: keep a copy of it.")
            done = rotate_keys(engine, keyring, say)
    say(f"All tokens are encrypted with key {keyring.current}.")
    for credential_id in done.undecryptable:
        say(f"Except those of grant {credential_id}, which no key decrypts: its team must connect it again.")
    say("Older backups need the older keys: leave them in the block as long as you keep such backups.")


def _state(key_id: str, keyring: Keyring, tokens: int) -> str:
    if key_id not in keyring.key_ids:
        return "missing in the block" if tokens else "retired, and no longer in the block"
    if key_id == keyring.current:
        return "current"
    return "still in use: run sivera keys rotate" if tokens else "retired"

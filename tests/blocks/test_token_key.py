"""The block that holds the keys of the tokens."""

import base64

import pytest
from prefect.types import SecretDict
from pydantic import ValidationError

from blocks.server import explain
from blocks.token_key import TokenKey
from sivera.crypto import Place

KEY = base64.urlsafe_b64encode(bytes(range(224, 256))).decode()
PLACE = Place("platform_credentials", "access_token", 1)


def test_each_generated_key_is_another_one_and_decrypts_beside_a_newer_one() -> None:
    older, other = TokenKey.generate(), TokenKey.generate()
    assert older.current != other.current
    assert older.keys != other.keys
    sealed = older.get_keyring().encrypt("token", PLACE)
    assert older.with_new_key().get_keyring().decrypt(sealed, PLACE) == "token"


@pytest.mark.parametrize(
    ("keys", "current", "sentence"),
    [
        ({"a": base64.urlsafe_b64encode(bytes(31)).decode()}, "a", "key 'a' has 31 bytes and needs 32"),
        ({"a": "hidden!"}, "a", "key 'a' is not base64url: write 32 bytes as 44 characters"),
        ({"a": 7}, "a", "key 'a' is not base64url: write 32 bytes as 44 characters"),
        ({"a": KEY}, "b", "current names the key 'b', which is not among the keys: add it there"),
    ],
)
def test_refuses_keys_and_says_which_without_showing_it(keys: dict[str, object], current: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TokenKey(keys=SecretDict(keys), current=current)
    assert explain(caught.value) == sentence
    assert "hidd" not in str(caught.value)

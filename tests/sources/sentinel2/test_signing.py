"""Signed addresses."""

from datetime import datetime

import pytest

from sdm_ray.errors import InputError
from sdm_ray.sources.sentinel2 import signing
from sdm_ray.sources.sentinel2.signing import Signer

ADDRESS = "https://tokens.example/token"


def test_addresses_are_signed_and_tokens_renewed_before_they_expire(monkeypatch):
    answer = {"token": "?sig=abc", "msft:expiry": "2100-01-01T00:00:00Z"}
    asked = []
    signer = Signer(ADDRESS, lambda address: asked.append(address) or answer)
    assert signer("https://h/a.tif") == "https://h/a.tif?sig=abc"
    assert signer("https://h/a.tif?x=1") == "https://h/a.tif?x=1&sig=abc"
    assert signer("/data/a.tif") == "/data/a.tif"
    answer["token"] = "sig=new"
    assert signer("https://h/a.tif").endswith("abc")
    late = datetime.fromisoformat("2100-01-01T00:00:00+00:00").timestamp() - 100
    monkeypatch.setattr(signing.time, "time", lambda: late)
    assert signer("https://h/a.tif").endswith("new")
    assert asked == [ADDRESS, ADDRESS]


def test_an_answer_without_a_token_is_named():
    with pytest.raises(InputError, match=r"tokens\.example/token: answers without a token; found type"):
        Signer(ADDRESS, lambda _: {"type": "Catalog"})("https://h/a.tif")


def test_without_an_address_nothing_is_signed():
    assert Signer()("https://h/a.tif") == "https://h/a.tif"

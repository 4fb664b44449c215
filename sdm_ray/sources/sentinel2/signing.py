"""Signed addresses of assets."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sdm_ray.errors import InputError

_MARGIN_S = 300  # a token is replaced this long before it expires
_UNSTATED_S = 600  # how long a token is taken to last that states no expiry


class Signer:
    """Appends a token to addresses, and asks for a new one before the old one expires.

    Without an address that answers with tokens, the addresses of assets stay as they are.

    Args:
        address: what answers with a token (`{"token": ...}`).
        get: reads a JSON object from an address.
    """

    def __init__(self, address: str | None = None, get: Callable[[str], dict[str, Any]] | None = None) -> None:
        self._address = address
        self._get = get
        self._token = ""
        self._expires = 0.0

    def __call__(self, href: str) -> str:
        """The address to open.

        Raises:
            InputError: there is no token.
        """
        if self._address is None or self._get is None or not href.startswith(("http://", "https://")):
            return href
        if time.time() > self._expires - _MARGIN_S:
            self._renew(self._address, self._get(self._address))
        return f"{href}{'&' if '?' in href else '?'}{self._token}"

    def _renew(self, address: str, answer: dict[str, Any]) -> None:
        if not answer.get("token"):
            raise InputError(f"{address}: answers without a token; found {', '.join(answer)}")
        self._token = str(answer["token"]).lstrip("?")
        self._expires = time.time() + _UNSTATED_S
        expiry = answer.get("msft:expiry") or answer.get("expiry")
        if expiry:
            self._expires = datetime.fromisoformat(str(expiry).replace("Z", "+00:00")).astimezone(UTC).timestamp()

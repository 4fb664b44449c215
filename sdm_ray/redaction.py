"""Secrets stay out of what is printed, logged and stored: passwords in addresses, and values of such keys."""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_NAMES = r"password|passwd|secret|token|api_?key|access_?key|credential|signature"
_KEY = re.compile(_NAMES, re.I)
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]+@")  # user:password@
_QUERY = re.compile(rf"([?&](?:[\w.-]*(?:{_NAMES})[\w.-]*|sig)=)[^&\s'\")]+", re.I)  # as in signed addresses


def redacted(text: str) -> str:
    """A text without the passwords and signatures of the addresses in it."""
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\1{HIDDEN}", _LOGIN.sub(f"{HIDDEN}@", text))


def redacted_values(values: Any, key: str = "") -> Any:  # noqa: ANN401 - any YAML value
    """Values of a configuration, those of keys that name a secret replaced, and addresses without passwords."""
    if isinstance(values, Mapping):
        return {name: redacted_values(value, str(name)) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [redacted_values(value, key) for value in values]
    if isinstance(values, str):
        return HIDDEN if values and _KEY.search(key) else redacted(values)
    return values

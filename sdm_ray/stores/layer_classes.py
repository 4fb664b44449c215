"""Which layers hold classes or flags, of which there is no mean."""

from collections.abc import Mapping
from typing import Any

CLASSES = "holds_classes"
"""Attribute of a layer whose values are classes, also where they are too many to be listed as CF flags."""


def is_categorical(attrs: Mapping[str, Any]) -> bool:
    """Whether a layer's attributes say that its values are classes or flags, which have no mean."""
    return bool(attrs.get(CLASSES)) or "flag_values" in attrs or "flag_masks" in attrs

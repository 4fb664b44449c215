"""Processing baselines of Sentinel-2 products."""

import re
from typing import Annotated

from pydantic import BeforeValidator

_STATED = re.compile(r"N?(?:(\d\d)(\d\d)|(\d{1,2})(?:\.(\d{1,2}))?)", re.IGNORECASE)
_IN_A_NAME = re.compile(r"_N(\d\d\.?\d\d)(?=[_.]|$)")


def parse_baseline(stated: object) -> str | None:
    """A baseline as ESA writes it (`05.10`), so that later ones sort behind earlier ones as text.

    `5.1`, `"05.1"` and the number 5.1 are 05.10, since a number in YAML or JSON loses its last zero; `N0510` and `0510`
    are how product names write it.

    Returns:
        The baseline, or None where `stated` is none.
    """
    match = _STATED.fullmatch(str(stated).strip())
    if match is None:
        return None
    if match[1]:
        return f"{match[1]}.{match[2]}"
    return f"{match[3]:0>2}.{match[4] or '0':0<2}"


def baseline_in_name(name: str) -> str | None:
    """The baseline in the name of a product, or in a path (`S2A_MSIL2A_20210715T105621_N0500_R051_T31UDQ_...`)."""
    found = _IN_A_NAME.findall(name)
    return parse_baseline(found[-1]) if found else None


def _checked(stated: object) -> str:
    found = parse_baseline(stated)
    if found is None:
        raise ValueError("expected a processing baseline such as 04.00")
    return found


Baseline = Annotated[str, BeforeValidator(_checked)]
"""A processing baseline in a configuration or a kept scene."""

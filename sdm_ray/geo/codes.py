"""Codes of grid cells as European agencies write them."""

import re

_EEA = re.compile(r"^(\d+)(km|m)E(\d+)N(\d+)$")
_RES = re.compile(r"^CRS3035RES(\d+)mN(\d+)E(\d+)$")


def eea_code(x: float, y: float, resolution: float) -> str:
    """The European Environment Agency's code of a cell: `1kmE4321N3210`, `10kmE432N321`, `250mE432100N321025`.

    Args:
        x: any easting inside the cell, metres.
        y: any northing inside the cell, metres.
        resolution: side of the cell, whole metres.

    The numbers are the lower-left corner without as many zeros as the side in metres ends with.
    """
    west, south = _corner(x, y, resolution)
    side = round(resolution)
    unit = _unit(side)
    name = f"{side // 1000}km" if side % 1000 == 0 else f"{side}m"
    return f"{name}E{west // unit}N{south // unit}"


def from_eea_code(code: str) -> tuple[float, float, float]:
    """Lower-left corner (x, y) and side of the cell, metres.

    Raises:
        ValueError: it is no such code.
    """
    match = _EEA.match(code)
    if not match:
        raise ValueError(f"{code!r} is no EEA cell code such as 1kmE4321N3210")
    side = int(match[1]) * (1000 if match[2] == "km" else 1)
    unit = _unit(side)
    return float(int(match[3]) * unit), float(int(match[4]) * unit), float(side)


def res_code(x: float, y: float, resolution: float) -> str:
    """The code of Eurostat's and the census grid's cells, `CRS3035RES1000mN3210000E4321000`."""
    west, south = _corner(x, y, resolution)
    return f"CRS3035RES{round(resolution)}mN{south}E{west}"


def from_res_code(code: str) -> tuple[float, float, float]:
    """Lower-left corner (x, y) and side of the cell, metres.

    Raises:
        ValueError: it is no such code.
    """
    match = _RES.match(code)
    if not match:
        raise ValueError(f"{code!r} is no cell code such as CRS3035RES1000mN3210000E4321000")
    return float(match[3]), float(match[2]), float(match[1])


def _corner(x: float, y: float, resolution: float) -> tuple[int, int]:
    return round(x // resolution * resolution), round(y // resolution * resolution)


def _unit(side: int) -> int:
    """The power of ten that a side in metres is a multiple of: 100 for 2,500, 1 for 256."""
    digits = str(side)
    return 10 ** (len(digits) - len(digits.rstrip("0")))

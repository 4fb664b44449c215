"""The same views of a map from titiler, which cuts pictures out of the Zarr on its server, as a browser would ask.

titiler is no dependency: a Python with `titiler.xarray` and `uvicorn` in an environment of its own is named.
"""

import math
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
from pyproj import Transformer
from upath import UPath

from sdm_ray.stores.maps import Map
from sdm_ray.stores.pyramid import level_count

SCREEN, TILE, CONNECTIONS = (1600, 900), 256, 6
_WORLD = 40_075_016.68557849  # metres around the equator, the side of zoom 0
_APP = """
from fastapi import FastAPI
from titiler.xarray.factory import TilerFactory
import uvicorn
app = FastAPI()
app.include_router(TilerFactory().router)
uvicorn.run(app, port={port}, log_level="error")
"""


@dataclass(frozen=True)
class View:
    """What one view cost.

    Attributes:
        name: of the view.
        first_s: until the first picture came.
        seconds: until all had come.
        requests: tiles or points.
        kilobytes: of their bodies.
    """

    name: str
    first_s: float
    seconds: float
    requests: int
    kilobytes: float


@contextmanager
def serving(python: str) -> Iterator[str]:
    """A titiler of its own on a free port; its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = subprocess.Popen([python, "-c", _APP.format(port=port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def views(python: str, path: UPath) -> list[View]:
    """The views of the page's tour that titiler has: whole map, another species, closer by 2 and 4, one cell."""
    source = Map(path)
    names, grid = source.species["name"].tolist(), source.grid
    west, south, east, north = grid.bounds
    turn = Transformer.from_crs("EPSG:3035", "EPSG:3857", always_xy=True)
    bounds = turn.transform_bounds(*grid.bounds)
    middle = turn.transform((west + east) / 2, (south + north) / 2)
    resolution = max((bounds[2] - bounds[0]) / SCREEN[0], (bounds[3] - bounds[1]) / SCREEN[1])
    whole = int(math.log2(_WORLD / TILE / resolution))
    chosen = names[len(names) // 2]
    steps = [("opened", names[0], whole), ("another species", chosen, whole)]
    steps += [(f"zoomed in by {2**each}", chosen, whole + each) for each in (1, 2)]
    found = []
    with serving(python) as address:
        for name, species, zoom in steps:
            cell = _WORLD / TILE / 2**zoom * math.cos(math.radians(52))  # metres on the ground
            level = min(level_count(path), max(0, int(math.log2(max(1, cell / grid.resolution)))))
            about = {"url": str(path), "group": str(level), "variable": "probability", "rescale": "0,1"}
            query = urlencode({**about, "sel": f"species={species}", "colormap_name": "viridis"})
            urls = [
                f"{address}/tiles/WebMercatorQuad/{zoom}/{x}/{y}.png?{query}" for x, y in _tiles(zoom, middle, bounds)
            ]
            found.append(_asked(name, urls))
        lon, lat = Transformer.from_crs("EPSG:3857", "EPSG:4326", always_xy=True).transform(*middle)
        query = urlencode({"url": str(path), "group": "0", "variable": "probability"})
        found.append(_asked("a cell clicked", [f"{address}/point/{lon},{lat}?{query}"]))
    return found


def _tiles(zoom: int, middle: tuple[float, float], bounds: tuple[float, ...]) -> list[tuple[int, int]]:
    """Tiles of a screen around a place of the Mercator projection that touch a map, from the middle outwards."""
    side = _WORLD / 2**zoom
    col, row = (_WORLD / 2 + middle[0]) / side, (_WORLD / 2 - middle[1]) / side
    half = [pixels / TILE / 2 for pixels in SCREEN]
    ranges = [
        range(math.floor(at - each), math.floor(at + each) + 1) for at, each in zip((col, row), half, strict=True)
    ]
    west, south, east, north = bounds
    cols = range(math.floor((_WORLD / 2 + west) / side), math.floor((_WORLD / 2 + east) / side) + 1)
    rows = range(math.floor((_WORLD / 2 - north) / side), math.floor((_WORLD / 2 - south) / side) + 1)
    found = [(x, y) for x in ranges[0] for y in ranges[1] if x in cols and y in rows]
    return sorted(found, key=lambda each: np.hypot(each[0] + 0.5 - col, each[1] + 0.5 - row))


def _asked(name: str, urls: list[str]) -> View:
    start = time.perf_counter()
    ends, sizes = [], []

    def ask(url: str) -> None:
        try:
            with urlopen(url, timeout=280) as response:
                sizes.append(len(response.read()))
        except HTTPError as error:  # as for a tile of the bounding box that the bent edge of the map leaves out
            sizes.append(len(error.read()))
        ends.append(time.perf_counter() - start)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(ask, urls))
    return View(name, min(ends), max(ends), len(urls), sum(sizes) / 1e3)

"""Scenes made from a real Sentinel-2 tile, and catalogues over them."""

import json
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pyproj import Transformer

NAME = "sent2-4band_UKBMS_loc-{}_y-2019_m-06-09.tif"
BANDS = ("red", "green", "blue", "nir")
"""Of the tiles, in the order of the files, as their publisher exported them (B4, B3, B2, B8)."""
WEST, SOUTH, EAST, NORTH = 3_477_800.0, 3_126_200.0, 3_479_600.0, 3_127_800.0
"""EPSG:3035 metres inside the tile 0006."""


def tile(data: Path, number: str = "0006") -> tuple[np.ndarray, dict[str, Any]]:
    """Values (4, 256, 256) and profile of a real tile."""
    with rasterio.open(data / "sentinel2-uk" / NAME.format(number)) as raster:
        return raster.read(), raster.profile


def write(path: Path, values: np.ndarray, profile: dict[str, Any], **changed: Any) -> Path:
    """A raster of some bands on the tile's pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = values if values.ndim == 3 else values[None]
    shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    with rasterio.open(path, "w", **profile | shape | changed) as raster:
        raster.write(values)
    return path


def classes(cloudy: np.ndarray) -> np.ndarray:
    """A scene classification at 20 m: clouds (9) over vegetation (4)."""
    return np.where(cloudy, 9, 4).astype(np.uint8)


def coarse(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile of a 20 m raster over a tile."""
    return profile | {"transform": profile["transform"] @ rasterio.Affine.scale(2)}


def item(name: str, day: str, assets: dict[str, str], profile: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """A STAC item over the tile of a profile."""
    bounds = rasterio.transform.array_bounds(profile["height"], profile["width"], profile["transform"])
    box = Transformer.from_crs(profile["crs"], "EPSG:4326", always_xy=True).transform_bounds(*bounds)
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "sentinel-2-l2a",
        "bbox": list(box),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": f"{day}T11:06:21Z",
            "platform": "sentinel-2a",
            "eo:cloud_cover": 10.0,
            "s2:processing_baseline": "02.12",
            "proj:epsg": profile["crs"].to_epsg(),
            **properties,
        },
        "links": [],
        "assets": {key: {"href": href} for key, href in assets.items()},
    }


def static(folder: Path, items: list[dict[str, Any]]) -> Path:
    """A catalogue of one collection with relative links; returns its `catalog.json`."""
    place = folder / "stac" / "sentinel-2-l2a"
    place.mkdir(parents=True, exist_ok=True)
    for each in items:
        (place / f"{each['id']}.json").write_text(json.dumps(each))
    links = [{"rel": "item", "href": f"./{each['id']}.json"} for each in items]
    top = [{"rel": "root", "href": "../catalog.json"}, {"rel": "parent", "href": "../catalog.json"}]
    collection = {"type": "Collection", "stac_version": "1.0.0", "id": "sentinel-2-l2a", "links": [*top, *links]}
    (place / "collection.json").write_text(json.dumps(collection))
    child = [{"rel": "child", "href": "./sentinel-2-l2a/collection.json"}, {"rel": "self", "href": "./catalog.json"}]
    catalogue = {"type": "Catalog", "stac_version": "1.0.0", "id": "tiles", "links": child}
    (folder / "stac" / "catalog.json").write_text(json.dumps(catalogue))
    return folder / "stac" / "catalog.json"


class Server:
    """A STAC API over items, two to a page, that also serves files in ranges and hands out tokens.

    Attributes:
        url: of the landing page.
        asked: bodies of the searches.
        failing: how many answers to come are 503, by path; of a file, to GET.
        token: what files want to see in their address, if anything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.items: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.failing: dict[str, int] = {}
        self.token = ""
        self.conforms = ["https://api.stacspec.org/v1.0.0/item-search#query"]

    def landing(self) -> dict[str, Any]:
        links = [{"rel": "search", "href": f"{self.url}/search", "method": "POST"}]
        return {"type": "Catalog", "stac_version": "1.0.0", "id": "api", "conformsTo": self.conforms, "links": links}

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        """A page of the items of an interval; the place and cloud cover are left to the client."""
        self.asked.append(body)
        first, last = body["datetime"].split("/")
        found = [each for each in self.items if first <= each["properties"]["datetime"] <= last]
        start = body.get("start", 0)
        page: dict[str, Any] = {"type": "FeatureCollection", "features": found[start : start + 2], "links": []}
        if start + 2 < len(found):
            following = {"rel": "next", "href": f"{self.url}/search", "method": "POST", "merge": True}
            page["links"] = [{**following, "body": {"start": start + 2}}]
        return page


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, served: Server, *args: Any) -> None:
        self.served = served
        super().__init__(*args)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._json(self.served.search(body))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, _, question = self.path.partition("?")
        if self.served.failing.get(path, 0) > 0:
            self.served.failing[path] -= 1
            self._send(503, b"busy")
        elif path == "/":
            self._json(self.served.landing())
        elif path == "/token":
            self._json({"token": self.served.token, "msft:expiry": "2100-01-01T00:00:00Z"})
        elif self.served.token and question != self.served.token:
            self._send(403, b"unsigned")
        else:
            self._file(self.served.folder / path.lstrip("/"))

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._send(404, b"none")
            return
        content = path.read_bytes()
        wanted = self.headers.get("Range")
        if wanted is None:
            self._send(200, content)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last or len(content)) + 1]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
        self._send(206, part, {"Content-Range": span})

    def _json(self, document: dict[str, Any]) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), "Accept-Ranges": "bytes", **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving(folder: Path):
    """A server of the files of a folder and of a STAC API, in a thread."""
    served = Server(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, served))
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()

"""Which stores a page shows: maps, the indicators that were derived from them, and the land store around them."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.stores import artefact, icechunk_repository, raster
from sdm_ray.viewer.borders import borders

PAGE = Path(__file__).parent / "page"
"""The files of the page."""
_COMPANIONS = ("indicators", "change")


@dataclass(frozen=True)
class Store:
    """A store that the page reads.

    Attributes:
        label: shown to people.
        place: its folder; None for one at a URL.
        url: its public address; empty for a folder.
        companions: stores that were derived from it.
    """

    label: str
    place: Path | None
    url: str = ""
    companions: tuple["Store", ...] = ()


@dataclass(frozen=True)
class Site:
    """What a page shows.

    Attributes:
        maps: the first is shown first.
        land: land store of the first map, or None.
    """

    maps: tuple[Store, ...]
    land: Path | None = None
    folders: tuple[Path, ...] = field(init=False)
    """Folders that the page may read, in the order of their numbers."""

    def __post_init__(self) -> None:
        stores = [each for one in self.maps for each in (one, *one.companions)]
        object.__setattr__(self, "folders", tuple(each.place for each in stores if each.place is not None))

    def config(self, base: Path | None = None) -> dict[str, Any]:
        """What the page reads as `viewer.json`.

        Args:
            base: folder of a page without a server, from which stores are reached; None where a server numbers them.
        """

        def entry(store: Store) -> dict[str, Any]:
            return {"label": store.label, "url": self._address(store, base)}

        maps = [entry(each) | {"companions": [entry(one) for one in each.companions]} for each in self.maps]
        return {"maps": maps, "borders": "borders.geojson" if self.land is not None else None}

    def _address(self, store: Store, base: Path | None) -> str:
        if store.place is None:
            return store.url
        if base is not None:
            return Path(os.path.relpath(store.place, base)).as_posix() + "/"
        return f"stores/{self.folders.index(store.place)}/"

    @cached_property
    def borders(self) -> str | None:
        """Countries around the first map as GeoJSON."""
        place = self.maps[0].place
        if self.land is None or place is None:
            return None
        group = raster.open_group(UPath(place))
        grid = raster.read_grid(group.get("0", group))
        return borders(UPath(self.land), grid.bounds)

    def security_policy(self) -> str:
        """The content security policy of the page: nothing is fetched but the page's own files and the stores."""
        hosts = sorted({"{0.scheme}://{0.netloc}".format(urlsplit(each.url)) for each in self.maps if each.url})
        return "; ".join([
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "style-src 'self'",
            "img-src 'self' data:",
            " ".join(["connect-src 'self' data:", *hosts]),
            "base-uri 'none'",
            "form-action 'none'",
        ])  # fmt: skip


def find(places: Sequence[str]) -> Site:
    """The page's stores for maps on disk or at public addresses.

    Args:
        places: folders or http(s) addresses of maps or indicators.

    Raises:
        InputError: none is given, or one is missing, unfinished, or of a kind that a browser cannot read.
    """
    if not places:
        raise InputError("no map is given; expected the folder of one")
    labels = _labels(places)
    maps = tuple(_store(place, label) for place, label in zip(places, labels, strict=True))
    return Site(maps, _land(maps[0].place))


def _store(place: str, label: str) -> Store:
    scheme = urlsplit(place).scheme if "://" in place else ""
    if scheme in ("http", "https"):
        return Store(label, None, place.rstrip("/") + "/")
    if scheme:
        raise InputError(f"{place}: a browser reads no {scheme}://; give the bucket's https:// address, or a folder")
    path = Path(place).absolute()
    record = artefact.read_record(UPath(path))
    if icechunk_repository.is_versioned(UPath(path)):
        raise InputError(
            f"{path}: is kept in an Icechunk repository, which a browser cannot read; map it again without `repository`"
        )
    if not (path / "zarr.json").exists():
        raise InputError(f"{path}: has the kind {record.kind} and no zarr.json; expected a map or indicators")
    return Store(label, path, companions=tuple(_companions(path, record.fingerprint)))


def _companions(path: Path, fingerprint: str) -> list[Store]:
    """Stores next to a map that were derived from it; those that cannot be read are left out."""
    found = []
    for place in sorted(path.parent.glob("*/artefact.json")):
        try:
            record = json.loads(place.read_text())
        except (OSError, ValueError):
            continue
        derived = record.get("kind") in _COMPANIONS and fingerprint in record.get("inputs", {}).values()
        if derived and (place.parent / "zarr.json").exists():
            found.append(Store(place.parent.name, place.parent))
    return found


def _land(path: Path | None) -> Path | None:
    """The land store that a map was made with, where it still lies there."""
    if path is None:
        return None
    record = artefact.read_record(UPath(path))
    names = [str(record.config.get("land") or "land.zarr"), "land.zarr"]
    places = [path.parent / name for name in names if "://" not in name]
    return next((place for place in places if (place / "zarr.json").exists()), None)


def _labels(places: Sequence[str]) -> list[str]:
    """Names of folders, with those of the folders above them where two are the same."""
    parts = [[part for part in place.split("/") if part] for place in places]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]


def write_static(site: Site, folder: Path) -> None:
    """Write the page for any web server or bucket; it reaches the stores from where they lie now.

    Args:
        site: what it shows.
        folder: is made where it is missing.

    Raises:
        InputError: nothing can be written there.
    """
    folder = folder.absolute()
    policy = f'<meta http-equiv="Content-Security-Policy" content="{site.security_policy()}">'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in PAGE.iterdir():
            content = file.read_bytes()
            if file.name == "index.html":
                content = content.replace(b"<!-- policy -->", policy.encode())
            (folder / file.name).write_bytes(content)
        (folder / "viewer.json").write_text(json.dumps(site.config(folder), indent=1))
        if site.borders is not None:
            (folder / "borders.geojson").write_text(site.borders)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None

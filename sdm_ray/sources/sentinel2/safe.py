"""L2A products (SAFE): a folder, or a zip of one."""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree
from zipfile import BadZipFile

from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.readers.safe_zip import open_zip
from sdm_ray.sources.base import Report
from sdm_ray.sources.sentinel2.baseline import baseline_in_name, parse_baseline
from sdm_ray.sources.sentinel2.scenes import Raster, day_of

ENDING = ".SAFE"
_FILE = re.compile(r"/IMG_DATA/R\d\dm/.*_(B\d[0-9A]|SCL)_(\d\d)m\.(?:jp2|tif|tiff)$")
_GRANULE = re.compile(r"^GRANULE/([^/]+)/")
_NAME = re.compile(r"^(S2[A-D])_MSIL2A_(\d{8})T\d{6}_N\d{4}_R\d{3}_T(\w{5})_")
_METADATA = "MTD_MSIL2A.xml"


@dataclass
class SceneParts:
    """The files of one scene and what is known of it before any is opened."""

    name: str
    date: str
    rasters: dict[str, Raster] = field(default_factory=dict)
    """Band -> its file; one entry without a name where a file holds several."""
    observation: str = ""
    tile: str = ""
    cloud: float | None = None
    baseline: str | None = None
    offset: int | None = None


@dataclass(frozen=True)
class Product:
    """The files of a product.

    Attributes:
        name: of the product, with its ending.
        place: its folder, or the zip that holds it.
        inside: path of its folder inside the zip; None where it is not zipped.
        files: paths inside the product.
    """

    name: str
    place: UPath
    inside: str | None
    files: list[str]

    def read(self, file: str) -> bytes:
        """The content of a file."""
        if self.inside is None:
            return (self.place / file).read_bytes()
        with open_zip(self.place) as archive:
            return archive.read(f"{self.inside}/{file}")

    def href(self, file: str) -> str:
        """What rasterio opens for a file."""
        if self.inside is None:
            return str(self.place / file)
        local = self.place.protocol in ("", "file", "local")
        archive = f"zip://{self.place.path}" if local else f"zip+{self.place}"
        return f"{archive}!/{self.inside}/{file}"


def products(folder: UPath, report: Report) -> Iterator[Product]:
    """The product that a folder or zip is, or all below it; a zip that cannot be used goes into the report."""
    for place in [folder] if folder.name.endswith(ENDING) else sorted(folder.rglob(f"*{ENDING}")):
        files = sorted(str(file.relative_to(place)) for file in place.rglob("*"))
        yield Product(place.name, place, None, files)
    for place in [folder] if folder.name.endswith(".zip") else sorted(folder.rglob("*.zip")):
        if any(part.endswith(ENDING) for part in place.relative_to(folder).parts):
            continue
        try:
            found = list(_zipped(place))
        except (BadZipFile, OSError, InputError) as error:
            report.drop("unreadable", [f"{place} ({error})"])
            continue
        if not found:
            report.note("zip_without_a_product", [str(place)])
        yield from found


def _zipped(place: UPath) -> Iterator[Product]:
    with open_zip(place) as archive:
        members = archive.namelist()
    tops = {member[: member.index(f"{ENDING}/") + len(ENDING)] for member in members if f"{ENDING}/" in member}
    for top in sorted(tops):
        files = sorted(member.removeprefix(f"{top}/") for member in members if member.startswith(f"{top}/"))
        yield Product(top.rpartition("/")[2], place, top, files)


def scenes(product: Product, report: Report) -> Iterator[SceneParts]:
    """The granules of a product, each band at its finest resolution."""
    match = _NAME.match(product.name)
    try:
        stated = _metadata(product)
        cloud = [float(value) for value in stated.get("Cloud_Coverage_Assessment", [])]
        offsets = sorted({float(value) for value in stated.get("BOA_ADD_OFFSET", [])})
    except (ElementTree.ParseError, ValueError, BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:
        report.drop("unreadable", [f"{product.name} ({_METADATA}: {error})"])
        return
    day = day_of(stated.get("PRODUCT_START_TIME", [match[2] if match else ""])[0])
    if day is None:
        report.drop("no_date_in_the_name", [product.name])
        return
    granules: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
    for file in product.files:
        granule, kind = _GRANULE.match(file), _FILE.search(file)
        if granule and kind:
            bands = granules[granule[1]]
            bands[kind[1]] = min(bands.get(kind[1], (1000, "")), (int(kind[2]), file))
        elif granule:
            granules.setdefault(granule[1], {})
    platform = stated.get("SPACECRAFT_NAME", [f"Sentinel-{match[1][1:]}" if match else product.name])[0].lower()
    for name, bands in sorted(granules.items()):
        yield SceneParts(
            name=product.name.removesuffix(ENDING),
            date=day,
            rasters={band: Raster(href=product.href(file)) for band, (_, file) in bands.items()},
            observation=f"{day} {platform}",
            tile=match[3] if match else name,
            cloud=cloud[0] if cloud else None,
            baseline=parse_baseline(stated.get("PROCESSING_BASELINE", [""])[0]) or baseline_in_name(product.name),
            offset=-int(offsets[0]) if len(offsets) == 1 else None,
        )


def observation_and_tile(name: str, day: str) -> tuple[str, str]:
    """Observation and tile of a file that is named after its product; both empty for others."""
    match = _NAME.match(name)
    return (f"{day} sentinel-{match[1][1:].lower()}", match[3]) if match else ("", "")


def _metadata(product: Product) -> dict[str, list[str]]:
    """Texts of a product's metadata by the names of their elements."""
    found: dict[str, list[str]] = defaultdict(list)
    if _METADATA in product.files:
        for element in ElementTree.fromstring(product.read(_METADATA)).iter():
            found[element.tag.rpartition("}")[2]].append((element.text or "").strip())
    return dict(found)

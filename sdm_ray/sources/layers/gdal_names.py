"""The files behind names that GDAL opens, such as `NETCDF:file.nc:variable`; light, configuration imports it."""

import glob
import re

_ARCHIVE = re.compile(r"/vsi(?:zip|tar|gzip|7z|rar)/(?P<file>.*?\.(?:zip|kmz|tar\.gz|tgz|tar|gz|7z|rar))(?:/|$)", re.I)
_DRIVER = re.compile(r"[A-Za-z][A-Za-z0-9_]+:(?!//)(?P<rest>.+)")  # a drive is one letter, a URL has slashes
_BUCKETS = {"/vsis3/": "s3://", "/vsigs/": "gs://", "/vsiaz/": "az://", "/vsicurl/": ""}


def file_of(name: str) -> str:
    """The file or URL that has to be there for GDAL to open a name.

    `NETCDF:climate.nc:t2m` lies in `climate.nc`, `/vsizip/world.zip/bio1.tif` in `world.zip`.
    """
    if archive := _ARCHIVE.match(name):
        return file_of(archive["file"])
    for prefix, scheme in _BUCKETS.items():
        if name.startswith(prefix):
            return scheme + name.removeprefix(prefix)
    driver = _DRIVER.fullmatch(name)
    if driver is None:
        return name
    quoted = re.search(r'"([^"]+)"', driver["rest"])
    if quoted:
        return file_of(quoted[1])
    parts = driver["rest"].split(":")
    return file_of(next((part for part in parts if "." in part or "/" in part), parts[0]))


def expanded(name: str) -> list[str]:
    """The names that a pattern such as `climate/*.tif` stands for, sorted; the name itself where it is none.

    A pattern that matches nothing is returned as it is, so that it is missed by the name that the user wrote.
    """
    file = file_of(name)
    if not glob.has_magic(file):
        return [name]
    return [name.replace(file, each) for each in sorted(glob.glob(file, recursive=True))] or [name]


def stem(name: str) -> str:
    """What a file is called without folders and suffixes, for bands without names."""
    last = name.rstrip('"').replace(":", "/").rsplit("/", 1)[-1]
    return re.sub(r"(\.(tiff?|nc|vrt|img|asc|grd|zip|gz|h5|hdf|grib2?))+$", "", last, flags=re.I)

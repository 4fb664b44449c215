"""Settings of a cube from scenes that nobody opens."""

from shapely import box

from sdm_ray.sources.sentinel2.config import Sentinel2

AREA = box(0, 0, 100, 100)


def settings(**changed) -> Sentinel2:
    scenes = {"kind": "files", "folders": ["."]}
    values = {"source": "sentinel2", "scenes": scenes, "years": [2021], "bounds": AREA.bounds}
    return Sentinel2.model_validate(values | changed)

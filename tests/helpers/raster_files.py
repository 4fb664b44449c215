"""Small GeoTIFFs."""

import rasterio


def write(path, values, transform, crs, names=None, nodata=None) -> str:
    profile = {"driver": "GTiff", "dtype": values.dtype, "count": len(values), "nodata": nodata}
    height, width = values.shape[1:]
    with rasterio.open(path, "w", width=width, height=height, transform=transform, crs=crs, **profile) as raster:
        raster.write(values)
        for number, name in enumerate(names or [], 1):
            raster.set_band_description(number, name)
    return str(path)

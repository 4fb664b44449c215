"""A person's own data: a French table of plots with semicolons, decimal commas, a BOM and accents, and two rasters."""

from pathlib import Path

import numpy as np
import pandas as pd
from helpers.raster_files import write
from rasterio.transform import from_origin

WEST, NORTH, STEP, ROWS, COLUMNS = 5.6, 45.6, 0.01, 110, 130
SPECIES = {
    "Mélèze d'Europe": (2100, 250),
    "Épicéa commun": (1500, 300),
    "Hêtre": (900, 300),
    "Chêne pubescent": (500, 250),
    "Frêne élevé": (700, 450),
    "Pin à crochets": (1900, 350),
}
"""Species -> the height at which it is likeliest, and how far it spreads from there, metres."""


def write_own_study(folder: Path, plots: int = 700) -> tuple[Path, list[Path]]:
    """Write `relevés.csv`, `altitude.tif` and `précipitations.tif`; returns their paths."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:ROWS, :COLUMNS]
    height = 1200 + 700 * np.sin(row / 17) * np.cos(column / 21) + 400 * np.sin((row + 2 * column) / 40)
    rain = 900 + 0.3 * height + 150 * np.cos(row / 25)
    place = from_origin(WEST, NORTH, STEP, STEP)
    rasters = []
    for name, values in (("altitude", height), ("précipitations", rain)):
        file = folder / f"{name}.tif"
        write(file, values[None].astype(np.float32), place, "EPSG:4326")
        rasters.append(file)
    at_row, at_column = rng.integers(3, ROWS - 3, plots), rng.integers(3, COLUMNS - 3, plots)
    lon = WEST + (at_column + rng.random(plots)) * STEP
    lat = NORTH - (at_row + rng.random(plots)) * STEP
    rows = []
    for number in range(plots):
        at = height[at_row[number], at_column[number]]
        for name, (best, spread) in SPECIES.items():
            if rng.random() < 0.8 * np.exp(-(((at - best) / spread) ** 2)):
                day = pd.Timestamp("2019-05-01") + pd.Timedelta(int(rng.integers(0, 150)), "D")
                rows.append((f"R{number:04d}", f"{day:%d/%m/%Y}", lon[number], lat[number], name))
    table = pd.DataFrame(rows, columns=["Relevé", "Date du relevé", "Longitude", "Latitude", "Espèce"])
    for name in ("Longitude", "Latitude"):
        table[name] = table[name].map("{:.5f}".format).str.replace(".", ",")
    file = folder / "relevés.csv"
    table.to_csv(file, sep=";", index=False, encoding="utf-8-sig")
    return file, rasters

"""Hours, bytes and cost on clusters of 1 to 512 GPUs, by calculation from what was measured and what is assumed.

`uv run python tests/benchmarks/bench_scale.py --table` prints it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.scale_model import Cluster, makespan

MEASURED = {
    "map, cells x species a second and core": 14_007_553 * 65 / 275 / 2,
    "map, bytes of a cell and species": 482e6 / (14_007_553 * 65),
    "photos decoded to 224 pixels a second and core": 1_084 / 2,
    "windows of 128 pixels a second and core": 2_160 / 2,
    "driver, seconds a tile": 0.0016,
    "request to a bucket, seconds of CPU": 0.003,
}
"""From the pages on streams and maps, and from 20,000 empty tiles; one machine of 2 cores."""
ASSUMED = {
    "images a GPU trains on a second (ResNet-18, bfloat16)": 2_500.0,
    "cells x species a GPU predicts a second": 2e9,
    "cores beside a GPU": 14.0,
    "bytes of a photo": 90e3,
    "bytes a second that a bucket gives in all": 25e9,
    "euros a GPU-hour on spot nodes, with its cores": 1.2,
    "euros a core-hour on spot nodes": 0.02,
}
"""No GPU was at hand: these are to be replaced by what one is measured at."""
GPUS = (1, 8, 64, 512)
_PARAMETERS, _DIM = 11.7e6, 128  # of ResNet-18, and of the shared embedding
_EPOCHS, _PHOTOS, _TILES = 10, 5e6, 1e6
_CELLS_1KM, _SPECIES, _TILE = 14_007_553, 5_000, 256 * 256


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    gpus: int
    hours: float
    stored_tb: float
    network: str
    cost: float
    limit: str

    def line(self) -> str:
        """As Markdown."""
        euros = f"{self.cost:,.0f}" if self.cost >= 1 else f"{self.cost:.2f}"
        stored = f"{self.stored_tb:.3g}" if self.stored_tb else "-"
        return f"| {self.work} | {self.gpus} | {self.hours:.2g} | {stored} | {self.network} | {euros} | {self.limit} |"


def pretraining(gpus: int) -> Row:
    """Ten epochs of 5 million photos and 1 million windows of a cube."""
    per_gpu = ASSUMED["images a GPU trains on a second (ResNet-18, bfloat16)"]
    cores = ASSUMED["cores beside a GPU"]
    rates = {
        "GPUs": gpus * per_gpu,
        "decoding on the cores": gpus * cores * MEASURED["photos decoded to 224 pixels a second and core"],
        "the bucket": ASSUMED["bytes a second that a bucket gives in all"] / ASSUMED["bytes of a photo"],
    }
    limit = min(rates, key=lambda name: rates[name])
    hours = _EPOCHS * (_PHOTOS + _TILES) / rates[limit] / 3600
    exchanged = 2 * (gpus - 1) / gpus * _PARAMETERS * 4 + (gpus - 1) * 256 * _DIM * 4 * 2
    cost = hours * gpus * ASSUMED["euros a GPU-hour on spot nodes, with its cores"]
    work = "pretraining, 10 epochs of 5 M photos and 1 M windows"
    return Row(work, gpus, hours, 0, f"{exchanged / 1e6:.0f} MB a GPU and step" if gpus > 1 else "-", cost, limit)


def mapping(metres: int, gpus: int) -> Row:
    """A map of the EU of 5,000 species."""
    cells = _CELLS_1KM * (1000 / metres) ** 2
    stored = cells * _SPECIES * MEASURED["map, bytes of a cell and species"]
    cores = gpus * ASSUMED["cores beside a GPU"]
    tiles = cells / _TILE * 1.6  # a coast leaves many tiles with fewer cells
    on_cores = cells * _SPECIES / MEASURED["map, cells x species a second and core"] / cores
    times = {
        "compression and writing on the cores": on_cores,
        "the GPUs": cells * _SPECIES / ASSUMED["cells x species a GPU predicts a second"] / gpus,
        "the driver": tiles * MEASURED["driver, seconds a tile"],
        "the bucket": stored / ASSUMED["bytes a second that a bucket gives in all"],
    }
    limit = max(times, key=lambda name: times[name])
    scheduled = _scheduled(tiles, cells, cores)
    if scheduled > 1.2 * times[limit]:
        limit = "the largest tiles"
    hours = max(*times.values(), scheduled) / 3600
    cost = hours * cores * ASSUMED["euros a core-hour on spot nodes"]
    rate = stored / max(hours, 1e-9) / 3600
    written = f"{rate / 1e9:.2g} GB/s written"
    return Row(f"map of the EU, {metres} m, 5,000 species", gpus, hours, stored / 1e12, written, cost, limit)


def _scheduled(tiles: float, cells: float, cores: float) -> float:
    """Seconds by the simulation: few tiles on many cores leave some of them idle, and spot nodes are lost (1 %/h)."""
    if tiles > 20_000:  # by then the last tiles weigh nothing
        return 0.0
    rng = random.Random(0)
    shares = [rng.uniform(0.05, 1.0) for _ in range(max(1, round(tiles)))]
    seconds = cells * _SPECIES / MEASURED["map, cells x species a second and core"]
    each = [share * seconds / sum(shares) for share in shares]
    cluster = Cluster(max(1, round(cores / 14)), 14, losses_h=0.01)
    return makespan(each, cluster, largest_first=True, twice=True)


def rows() -> Iterator[Row]:
    """The table."""
    for gpus in GPUS:
        yield pretraining(gpus)
    for metres in (1000, 100, 10):
        for gpus in GPUS:
            yield mapping(metres, gpus)


def table() -> str:
    """The table as Markdown."""
    head = "| work | GPUs, each with 14 cores | hours | TB stored | network | euros | what limits |"
    return "\n".join([head, "|---" * 7 + "|", *(row.line() for row in rows())])

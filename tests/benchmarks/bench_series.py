"""What the encoder of time series learns, beside baselines that see the flattened values.

    python tests/benchmarks/bench_series.py [--quick]

Landsat series of GeoLifeCLEF 2023 ($SDM_RAY_DATA) are drawn again and again with noise and gaps, and four signals are
planted: a trend over the years, a season, an event in any year, and an interaction of the first two. Each baseline
learns to tell them on some series and is scored on 2,000 others; all see which values are missing.
"""

import argparse
import json
import os
import statistics
import sys
import time

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, nn

from sdm_ray.metrics.ranking import auc
from sdm_ray.models.config import SeriesConfig
from sdm_ray.models.layers import residual_mlp
from sdm_ray.models.series_encoder import SeriesEncoder
from sdm_ray.sources.base import Report
from sdm_ray.sources.geolifeclef.time_series import SPECS, read_values

HELD_OUT, STEPS, BATCH = 2000, 30, 128  # STEPS: passes over the series
SHAPE = SPECS["landsat"].shape
NIR, SWIR = 3, 4


def planted(base: np.ndarray, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Series (rows, band, quarter, year) with gaps, and the signals that each holds, (rows, 4)."""
    rng = np.random.default_rng(seed)
    spread = np.nanstd(base, axis=(0, 2, 3))[:, None, None]
    noise = rng.normal(0, 0.3, (rows, 1, 1, 1)) + rng.normal(0, 0.3, (rows, *SHAPE))
    values = base[rng.integers(0, len(base), rows)] + noise * spread
    trend, season = rng.normal(0, 0.5, (2, rows))
    values[:, NIR] += trend[:, None, None] * np.linspace(-1, 1, SHAPE[2]) * spread[NIR]
    values[:, NIR, 2] += season[:, None] * spread[NIR, 0]
    values[:, NIR, 0] -= season[:, None] * spread[NIR, 0]
    event = rng.random(rows) < 0.5
    for row, year in zip(np.flatnonzero(event), rng.integers(2, SHAPE[2] - 3, event.sum()), strict=True):
        values[row, NIR, :, year : year + 3] -= 1.2 * spread[NIR]
        values[row, SWIR, :, year : year + 3] += spread[SWIR]
    gaps = rng.random((rows, 1, *SHAPE[1:])) < rng.uniform(0, 0.4, rows)[:, None, None, None]
    signals = np.stack([trend > 0, season > 0, event, (trend > 0) ^ (season > 0)], axis=1)
    return np.where(gaps, np.nan, values).astype(np.float32), signals.astype(np.uint8)


class Flat(nn.Module):
    """A residual network of the standardised values and their mask."""

    def __init__(self, encoder: SeriesEncoder) -> None:
        super().__init__()
        self.standard = encoder.standard
        self.net = residual_mlp(2 * int(np.prod(SHAPE)), 128, 1, 64, 0.1)

    def forward(self, values: Tensor) -> Tensor:
        known = torch.isfinite(values)
        standard = self.standard(torch.where(known, values, 0.0).movedim(1, -1)).movedim(-1, 1) * known
        return self.net(torch.cat([standard.flatten(1), known.flatten(1).float()], 1))


def trained(kind: str, train: tuple[np.ndarray, np.ndarray], test: np.ndarray, seed: int) -> np.ndarray:
    """What a network says of the held-out series, (HELD_OUT, 4)."""
    torch.manual_seed(seed)
    values, signals = (torch.from_numpy(each) for each in train)
    encoder = SeriesEncoder(SHAPE, SeriesConfig())
    channels = train[0].transpose(1, 0, 2, 3).reshape(SHAPE[0], -1)
    encoder.standard.set(*(torch.from_numpy(each(channels, axis=1)) for each in (np.nanmean, np.nanstd)))
    model = nn.Sequential(encoder if kind == "ours" else Flat(encoder), nn.GELU(), nn.Linear(64, 4))
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=1e-4)
    steps = STEPS * len(values) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(0, len(values), (BATCH,))
        loss = nn.functional.binary_cross_entropy_with_logits(model(values[rows]), signals[rows].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.inference_mode():
        return torch.cat([model.eval()(part) for part in torch.from_numpy(test).split(500)]).numpy()


def boosted(train: tuple[np.ndarray, np.ndarray], test: np.ndarray, seed: int) -> np.ndarray:
    """What gradient boosting says of them; it takes missing values as they are."""
    flat = train[0].reshape(len(train[0]), -1)
    models = [HistGradientBoostingClassifier(random_state=seed).fit(flat, each) for each in train[1].T]
    return np.stack([each.predict_proba(test.reshape(len(test), -1))[:, 1] for each in models], axis=1)


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed and fewer series, about a minute")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = f"{os.environ['SDM_RAY_DATA']}/glc23/SatelliteTimeSeries"
    base = read_values([str(folder)], ["landsat"], "timeSerieID", Report("Landsat", 1)).values["landsat"]
    test, truth = planted(base, HELD_OUT, 1000)
    figures = []
    for rows in (1000,) if given.quick else (1000, 4000):
        found: dict[str, list[float]] = {}
        for seed in range(1 if given.quick else 3):
            train = planted(base, rows, seed)
            for name in ("ours", "flattened", "boosting"):
                begun = time.perf_counter()
                said = boosted(train, test, seed) if name == "boosting" else trained(name, train, test, seed)
                each = auc(truth, said)
                found.setdefault(name, []).append(float(each.mean()))
                taken = time.perf_counter() - begun
                print(f"{rows:>5} series, {name:<10} AUC {np.round(each, 3)}, {taken:.0f} s", flush=True)
        best = max(statistics.median(values) for name, values in found.items() if name != "ours")
        gain = statistics.median(found["ours"]) - best
        name = f"AUC from {rows} series above the best baseline"
        figures.append({"figure": name, "value": round(gain, 3), "unit": "AUC", "goal": 0, "holds": gain > 0})
    for line in figures:
        print(json.dumps(line))
    return 0 if all(line["holds"] for line in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

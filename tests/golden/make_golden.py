"""Makes the golden artefacts: one small artefact of each kind, as the jobs of this release write it.

Run it once more when the format version of a kind is raised in `sdm_ray/stores/formats.py`:

    uv run python tests/golden/make_golden.py

Every artefact goes to `tests/golden/v<version>/<kind>/`, and a kind and version that are there already are left as
they are: a golden artefact is what an older release wrote and is never made anew. Then say in
`tests/stores/test_formats_golden.py` what the new one holds.

A tiny virtual landscape goes through the real jobs. To keep the files few and small, pages and pictures are left out
or made tiny, and the weights of image towers are kept in one byte each; places on the disk are cut to the names inside
the run folder.
"""

import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image
from safetensors.torch import load, save
from upath import UPath

from sdm_ray import jobs
from sdm_ray.stores import artefact, raster
from sdm_ray.stores.series import SeriesSpec, create_series, write_rows

HERE = Path(__file__).parent
BLOCKS = {"size_m": 2000, "folds": 2, "validation": 0.2, "calibrate": 0.2}
LOCATION = {"wavelengths_km": [40, 20], "directions": 4, "hidden": 16, "depth": 1, "dim": 8}
TOWER = {
    "name": "test_efficientnet", "bands": 4, "mean": [494, 746, 709, 2666], "std": [261, 357, 511, 1193],
    "nodata_zero": True, "dim": 8,
}  # fmt: skip
MODEL = {"location": LOCATION, "embedding": 8, "hidden": 16, "depth": 1}
TRAINING = {"blocks": BLOCKS, "workers": {"count": 0}}
FINETUNE = {**TRAINING, "covariates": "covariates.zarr", "optim": {"lr": 0.01, "epochs": 4, "batch": 64}}
FOREST = {"kind": "forest", "trees": 20, "min_samples_leaf": 5}
CELLS = {"covariates": "covariates.zarr", "surveys": "surveys.parquet", "tile": 16, "block": 16}
MAP = {**CELLS, "levels": 1, "bits": 16, "title": "Golden map"}

VIRTUAL = {"cells": 16, "pixel_m": 250, "species": 4, "covariate_cells": 2}
JOBS = {
    "prepare": {
        "virtual": VIRTUAL,
        "surveys": {"source": "virtual", "surveys": 160},
        "occurrences": {
            "source": "tables", "table": "{inputs}/occurrences.csv", "probability_kind": "relative",
            "citation": "made up, CC0",
        },
        "land": {"source": "virtual"},
        "covariates": {"source": "virtual"},
        "truth": {"source": "virtual"},
        "cube": {"source": "virtual"},
        "shards": [{"source": "virtual", "scale": "plant", "photos": 6, "size": 16}],
        "images_per_shard": 4,
    },
    "prepare-managed": {
        "virtual": {**VIRTUAL, "management": {"parcels": 8, "side_cells": 1}}, "parcels": {"source": "virtual"},
    },
    "pretrain": {
        **TRAINING, "covariates": "covariates.zarr", "covariates_as": "regression", "location": LOCATION, "dim": 8,
        "crossfit": True, "optim": {"epochs": 2, "batch": 64, "steps_per_epoch": 4},
    },
    "pretrain-images": {
        **TRAINING, "output": "encoder-images", "location": LOCATION, "dim": 8,
        "scales": {"satellite": {"cube": "cube.zarr", "stride_m": 1000, "size": 8, "tower": TOWER}},
        "optim": {"epochs": 1, "batch": 32, "steps_per_epoch": 2},
    },
    "finetune": {
        **FINETUNE, "encoder": "encoder", "model": MODEL,
        "forest": {"trees": 50, "min_samples_leaf": 40}, "crossfit": True, "calibration": "isotonic",
    },
    "finetune-images": {
        **FINETUNE, "output": "model-images", "encoder": "encoder-images", "cube": {"cube": "cube.zarr", "size": 8},
        "series": "series.zarr", "crossfit": False, "optim": {"lr": 0.01, "epochs": 1, "batch": 64},
        "model": {**MODEL, "satellite": TOWER, "series": {"hidden": 8, "depth": 1, "dim": 4}},
    },
    "tune": {
        "finetune": {**FINETUNE, "model": MODEL, "optim": {"epochs": 2, "batch": 64}},
        "space": {"optim.lr": {"low": 0.001, "high": 0.03, "log": True}, "model.hidden": [8, 16]},
        "trials": 2,
    },
    "compare": {
        "finetune": {**FINETUNE, "model": MODEL}, "methods": {"network": {}, "narrow": {"model.hidden": 8}},
        "baselines": {"forest": FOREST}, "shots": [5, None], "seeds": [0], "resamples": 10, "min_positives": 2,
        "few": {"background": 40, "optim": {"epochs": 2, "batch": 64}}, "compute": {"cpus": 0.5, "workers": 1},
    },
    "embed": CELLS,
    "map": {**MAP, "from_embeddings": "embeddings.zarr"},
    "map-crossfit": {**MAP, "output": "map-crossfit.zarr", "crossfit": True},
    "evaluate": {
        "maps": {"map": "map-crossfit.zarr"}, "truth": "truth.zarr", "covariates": "covariates.zarr",
        "land": "land.zarr", "blocks": BLOCKS, "baselines": [FOREST], "resamples": 10, "min_positives": 2,
    },
    "export": {"files": "together", "layers": ["richness"]},
    "predict": {
        "table": "{inputs}/places.csv", "covariates": "covariates.zarr", "sets": "top_k", "k": 2,
    },
    "errors": {"ranges_km": [2], "factors": 2, "pairs": 1000, "zones_km": [0, 2], "draws": 20},
    "indicators": {"evaluation": "evaluation", "thresholds": [0.3, 0.5]},
    "change": {"maps": {"truth": "truth.zarr", "map": "map.zarr"}, "errors": "errors", "draws": 20},
    "document": {"evaluation": "evaluation", "answers": {"o_authorship_1": "made up"}},
    "sample": {"sites": 3, "candidates": 200, "demand": 100},
    "impact": {
        "units": "{inputs}/units.csv", "id": "unit", "treatment": {"date": "treated_in"},
        "outcome": {"columns": {"moss": {2010: "moss_2010", 2015: "moss_2015", 2020: "moss_2020"}}},
        "covariates": {"columns": ["shade"]}, "matching": {"caliper": None},
        "estimate": {"block_m": 2000, "resamples": 100}, "placebos": {"fake_treatments": 2, "elsewhere": 0},
    },
}  # fmt: skip
"""What is run, in this order; a name is that of a job and perhaps of one of its variants."""

KEPT = {
    "surveys": ["surveys.parquet", "occurrences.parquet", "species.parquet"],
    "land": ["land.zarr"],
    "parcels": ["parcels.parquet"],
    "covariates": ["covariates.zarr"],
    "cube": ["cube.zarr"],
    "shards": ["shards"],
    "series": ["series.zarr"],
    "encoder": ["encoder", "encoder-images"],
    "model": ["model", "model-images"],
    "sweep": ["tune"],
    "comparison": ["comparison"],
    "embeddings": ["embeddings.zarr"],
    "map": ["map.zarr", "truth.zarr"],
    "evaluation": ["evaluation"],
    "export": ["export"],
    "predictions": ["predictions"],
    "indicators": ["indicators.zarr"],
    "errors": ["errors"],
    "change": ["change.zarr"],
    "impact": ["impact"],
    "documentation": ["documentation"],
    "sample": ["sample"],
}
"""Kind -> what is kept of it, by name in the run folder."""


def main() -> None:
    """Run the jobs and keep what is not there yet."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{work}/mlflow.db"
        inputs, run_dir = work / "inputs", work / "golden"
        inputs.mkdir()
        write_inputs(inputs)
        for stem, values in JOBS.items():
            run(stem, values, inputs, run_dir)
            if stem == "prepare":
                write_series(UPath(run_dir))
        for kind, names in KEPT.items():
            keep(kind, names, run_dir, work)


def run(stem: str, values: dict, inputs: Path, run_dir: Path) -> None:
    """One job, as the command line runs it."""
    text = yaml.safe_dump({**values, "run_dir": str(run_dir)}).replace("{inputs}", str(inputs))
    (inputs / f"{stem}.yaml").write_text(text)
    jobs.run_job(stem.partition("-")[0], inputs / f"{stem}.yaml", [])


def write_inputs(folder: Path) -> None:
    """Tables that jobs read: occurrences of two of the species, places, and units of which some were treated."""
    rows = [(10.0 + 0.01 * i, 49.0 + 0.01 * i, ["Ficta alba", "Ficta montana"][i % 2]) for i in range(12)]
    pd.DataFrame(rows, columns=["lon", "lat", "species"]).to_csv(folder / "occurrences.csv", index=False)
    places = pd.DataFrame({"surveyId": ["a", "b", "c"], "lon": [8.80, 8.85, 9.50], "lat": [49.10, 49.05, 49.10]})
    places.to_csv(folder / "places.csv", index=False)
    number = np.arange(24)
    units = {"unit": number, "lon": 8.8 + 0.02 * number, "lat": 49.0 + 0.01 * (number % 5), "shade": number * 7 % 11,
             "treated_in": [2012 if each % 4 == 0 else None for each in number]}  # fmt: skip
    for year in (2010, 2015, 2020):
        units[f"moss_{year}"] = 5 + number % 3 + (year > 2012) * (2 * (number % 4 == 0) + 0.1 * (number * 5 % 7))
    pd.DataFrame(units).to_csv(folder / "units.csv", index=False)


def write_series(run_dir: UPath) -> None:
    """Time series of the surveys, which no virtual source has: a number of each survey, month and band."""
    surveys = pd.read_parquet(str(run_dir / "surveys.parquet"))["survey_id"].astype(str).tolist()
    spec = SeriesSpec({"band": ("red", "nir"), "month": (3, 6, 9, 12)}, {"long_name": "made-up reflectance"})
    values = np.add.outer(np.arange(len(surveys)), np.arange(8).reshape(2, 4) / 8).astype(np.float32)
    values[0] = np.nan
    path = run_dir / "series.zarr"
    create_series(path, surveys, {"golden": spec})
    write_rows(path, 0, {"golden": values})
    raster.consolidate(path)
    artefact.seal(path, artefact.Record(kind="series", fingerprint=artefact.fingerprint("golden series")))


def keep(kind: str, names: list[str], run_dir: Path, work: Path) -> None:
    """Copy the artefacts of a kind into the folder of its version, unless that is there."""
    folder = HERE / f"v{version_of(kind, run_dir / names[0])}" / kind
    if folder.exists():
        print(f"{folder}: kept")
        return
    for name in names:
        source = run_dir / name
        for file in [source, *run_dir.glob(f"{name}.*")] if source.is_file() else source.rglob("*"):
            if file.is_file() and file.suffix != ".html":
                target = folder / file.relative_to(run_dir)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                shrink(target)
    without_places(folder, run_dir, work)


def version_of(kind: str, path: Path) -> int:
    """The version that an artefact was sealed with."""
    record = artefact.read_record(UPath(path))
    assert record.kind == kind, f"{path} is of kind {record.kind}"
    return record.format_version


def shrink(file: Path) -> None:
    """Tiny pictures, and towers of a byte a weight, which a model reads as any other."""
    if file.suffix == ".png":
        image = Image.open(file).convert("P", colors=16)
        image.thumbnail((48, 48), Image.Resampling.NEAREST)
        out = io.BytesIO()
        image.save(out, "PNG", optimize=True)
        file.write_bytes(out.getvalue())
    if file.suffix == ".safetensors":
        state = load(file.read_bytes())
        small = {
            name: tensor.to(torch.float8_e4m3fn)
            for name, tensor in state.items()
            if ".backbone." in name and tensor.is_floating_point()
        }
        file.write_bytes(save(state | small))


def without_places(folder: Path, run_dir: Path, work: Path) -> None:
    """Cut places on this machine's disk to names, and see that none is left."""
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            if file.suffix in (".json", ".yaml", ".csv"):
                content = content.replace(f"{run_dir}/".encode(), b"").replace(f"{run_dir}".encode(), b"golden")
                content = content.replace(f"{work}/".encode(), b"")
                file.write_bytes(content)
            found = [each for each in (str(work), str(Path.home()), str(HERE.parents[1])) if each.encode() in content]
            if found:
                sys.exit(f"{file}: names {found[0]}, a place on this machine")


if __name__ == "__main__":
    main()

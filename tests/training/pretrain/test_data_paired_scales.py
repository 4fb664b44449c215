"""Images of two scales at one place, matched with each other: on photos that share what coordinates do not tell."""

import io

import numpy as np
import pytest
import torch
from helpers.small import LOCATION, TOWER
from PIL import Image
from pydantic import ValidationError
from upath import UPath

from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Role, role
from sdm_ray.models.distributed import Ranks
from sdm_ray.stores import artefact
from sdm_ray.stores.shards import Sample, write_index, write_shard
from sdm_ray.training.engine import trainer
from sdm_ray.training.engine.checkpointing import FolderCheckpointer
from sdm_ray.training.engine.reporting import Reporter
from sdm_ray.training.pretrain import job as pretrain
from sdm_ray.training.pretrain.config import PretrainConfig
from sdm_ray.training.pretrain.data import read_sources

PLACES = 240
SCALES = {
    name: {"shards": "shards", "size": 16, "tower": {"name": "test_resnet", "dim": 8}}
    for name in ("plant", "landscape")
}
BLOCKS = {"size_m": 20_000, "folds": 2, "validation": 0.8, "calibrate": 0}


@pytest.fixture(autouse=True)
def one_thread():
    """Two would wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> str:
    """Plants, and landscapes 1.5 km away whose colour tells that of the plants; coordinates tell neither."""
    folder = UPath(tmp_path_factory.mktemp("cross_scale_pairs"))
    rng = np.random.default_rng(0)
    samples = []
    for place in range(PLACES):
        lon, lat = float(rng.uniform(8, 11)), float(rng.uniform(48, 50))
        red, blue = rng.integers(20, 236, 2)
        plant = np.full((16, 16, 3), (red, 128, blue), np.uint8)
        landscape = np.full((16, 16, 3), (blue, red, 128), np.uint8)
        for scale, image in (("plant", plant), ("landscape", landscape)):
            content = io.BytesIO()
            Image.fromarray(image).save(content, "PNG")
            samples.append(Sample(f"{scale}{place}", "png", content.getvalue(), scale, lon, lat, place))
            lon += 0.02
    (folder / "shards").mkdir()
    write_index(folder / "shards", [write_shard(folder / "shards", 0, samples)])
    artefact.seal(folder / "shards", artefact.Record(kind="test", fingerprint="photos"))
    return str(folder)


def config(photos: str, **changes) -> dict:
    return {"run_dir": photos, "scales": SCALES, "location": LOCATION, "dim": 8, "blocks": BLOCKS} | changes


def trained(photos: str, folder: UPath, steps: int, **cross_scale_pairs) -> dict[str, float]:
    """Figures on held-out places."""
    cross_scale_pairs = {"scales": ["plant", "landscape"], "batch": 32} | cross_scale_pairs
    optim = {"epochs": 1, "batch": 8, "steps_per_epoch": steps, "lr": 0.003}
    made = PretrainConfig(**config(photos, cross_scale_pairs=[cross_scale_pairs], optim=optim))
    fit = pretrain.Study(made, read_sources(made), str(folder)).fit(None)
    return trainer.run(fit, Ranks(), FolderCheckpointer(folder / "kept", 1e9), Reporter()).history[-1]


def test_a_planted_correspondence_is_learnt_on_held_out_places(photos, tmp_path):
    found = trained(photos, UPath(tmp_path / "on"), 50, weight=4.0)
    assert found["plant-landscape_candidates"] > 60
    assert found["plant-landscape_top5"] > 0.5
    without = trained(photos, UPath(tmp_path / "off"), 20, weight=1e-6, radius_m=3000)
    assert without["plant-landscape_top5"] < 0.2


def test_pairs_whose_images_lie_on_either_side_of_a_border_are_not_used(photos):
    made = PretrainConfig(**config(photos, cross_scale_pairs=[{"scales": ["plant", "landscape"], "radius_m": 3000}]))
    study = pretrain.Study(made, read_sources(made), "nowhere")
    source = study.sources["plant-landscape"]
    trained, measured = study._parts("plant-landscape", source, 0)
    for part, used in ((trained, Role.TRAIN), (measured, Role.VALIDATION)):
        for xy in (part.xy(), part.other_xy):
            assert len(xy) and (role(*xy.T, made.blocks, 0) == used).all()
    alone = [role(*xy.T, made.blocks, 0) == Role.TRAIN for xy in (source.xy(), source.other_xy)]
    assert len(trained) < min(each.sum() for each in alone)


def test_what_cannot_be_matched_is_refused(photos):
    cube = {"satellite": {"cube": "cube.zarr"}, "plant": SCALES["plant"]}
    for wrong, fault in [
        ({"cross_scale_pairs": [{"scales": ["plant", "satellite"]}]}, "expected two of the scales plant, landscape"),
        ({"cross_scale_pairs": [{"scales": ["plant", "plant"]}]}, "expected two of the scales"),
        ({"cross_scale_pairs": [{"scales": ["plant", "landscape"]}] * 2}, "is there twice"),
        ({"cross_scale_pairs": [{"scales": ["plant", "satellite"]}], "scales": cube}, "which knows no place_id"),
    ]:
        with pytest.raises(ValidationError, match=fault):
            PretrainConfig(**config(photos, **wrong))


def test_scales_without_a_place_in_common_are_refused(world):
    cube = {"cube": "cube.zarr", "stride_m": 4000, "size": 32, "tower": TOWER}
    cross_scale_pairs = [{"scales": ["plant", "satellite"], "radius_m": 0.001}]
    scales = {"plant": SCALES["plant"], "satellite": cube}
    with pytest.raises(InputError, match=r"plant and satellite have no images less than 0\.001 m apart"):
        read_sources(PretrainConfig(run_dir=str(world), scales=scales, cross_scale_pairs=cross_scale_pairs))

import pytest
import yaml

from sdm_ray.config import load
from sdm_ray.errors import InputError
from sdm_ray.training.compare.config import CompareConfig
from sdm_ray.training.finetune.config import FinetuneConfig
from sdm_ray.training.pretrain.config import PretrainConfig
from sdm_ray.training.tune.config import TuneConfig


def problem(tmp_path, kind, **values) -> str:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as caught:
        load(file, kind)
    return str(caught.value)


def test_mistakes_name_their_key(tmp_path):
    assert "optim.lr" in problem(tmp_path, FinetuneConfig, optim={"lr": -1})
    assert "blocks.fold: unknown" in problem(tmp_path, FinetuneConfig, blocks={"fold": 3})
    assert "covariates" in problem(tmp_path, FinetuneConfig, model={"covariates": ["rain"]})
    assert "cube" in problem(tmp_path, FinetuneConfig, model={"satellite": {}})
    assert "encoder" in problem(tmp_path, FinetuneConfig, freeze=True)
    assert "scales" in problem(tmp_path, PretrainConfig)
    assert "scales.plant" in problem(tmp_path, PretrainConfig, scales={"plant": {"shards": "a", "cube": "b"}})
    assert "scales.moon" in problem(tmp_path, PretrainConfig, scales={"moon": {"shards": "a"}})


def test_a_cube_is_given_by_its_path_or_with_its_settings(tmp_path, capsys):
    model = {"satellite": {}}
    nested = FinetuneConfig(model=model, cube={"cube": "a.zarr", "size": 32, "bands": ["red"]})
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump({"model": model, "cube": "a.zarr", "size": 32, "bands": ["red"]}))
    assert load(file, FinetuneConfig).cube == nested.cube
    assert "`size` is now called `cube.size`" in capsys.readouterr().err
    assert FinetuneConfig(model=model, cube="a.zarr").cube.size == 64
    assert "a.zarr" in nested.reads()
    assert "size: is the old name of cube.size" in problem(tmp_path, FinetuneConfig, cube={"size": 8}, size=16)


def test_published_weights_are_among_what_a_job_reads():
    tower = {"weights": "tower.safetensors"}
    capsules = {"kind": "capsules", "weights": "geoclip.whl"}
    scales = {"plant": {"shards": "a", "tower": tower}, "landscape": {"shards": "a", "tower": {"weights": "hub"}}}
    pretrain = PretrainConfig(scales=scales, location=capsules, covariates="c", teacher="geoclip.whl")
    assert pretrain.reads_files() == ["geoclip.whl", "tower.safetensors"]
    finetune = FinetuneConfig(model={"location": capsules, "plant": tower}, images={"plant": {}})
    assert finetune.reads_files() == ["geoclip.whl", "tower.safetensors"]
    compared = CompareConfig(
        finetune={},
        methods={"ours": {}, "frozen": {"model.frozen_location_features": [{}, capsules]}},
        baselines={"theirs": {"kind": "logistic", "features": "coordinates", "geoclip": "other.whl"}},
    )
    assert compared.reads_files() == ["geoclip.whl", "other.whl"]


def test_a_space_is_checked_against_finetune(tmp_path):
    finetune = {"optim": {"epochs": 2}}
    assert "optim.rate" in problem(tmp_path, TuneConfig, finetune=finetune, space={"optim.rate": [1]})
    wrong = {"optim.lr": {"low": 0, "high": 1}}
    assert "optim.lr" in problem(tmp_path, TuneConfig, finetune=finetune, space=wrong)
    assert "0 to 4, each once" in problem(tmp_path, TuneConfig, finetune=finetune, space={"seed": [1, 2]}, folds=[9])
    missing = problem(tmp_path, TuneConfig, finetune=str(tmp_path / "no.yaml"), space={"seed": [1, 2]})
    assert "no such configuration file" in missing


def test_a_candidate_has_the_settings_of_the_file(tmp_path):
    (tmp_path / "finetune.yaml").write_text(yaml.safe_dump({"optim": {"epochs": 3}, "workers": {"count": 0}}))
    config = TuneConfig(
        run_dir="runs/x", finetune=str(tmp_path / "finetune.yaml"), space={"optim.lr": {"low": 0.1, "high": 1}}
    )
    found = config.candidate({"optim.lr": 0.25})
    assert (found.optim.lr, found.optim.epochs, found.workers.count, found.run_dir) == (0.25, 3, 0, "runs/x")


def test_what_a_job_reads():
    found = FinetuneConfig(covariates="c.zarr", encoder="encoder").reads()
    assert found == ["surveys.parquet", "c.zarr", "encoder"]
    scales = {"plant": {"shards": "shards"}, "landscape": {"shards": "shards"}}
    assert PretrainConfig(scales=scales, covariates="c.zarr").reads() == ["shards", "c.zarr"]

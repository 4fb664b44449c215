"""Configuration files: what is accepted, and what the one line of an error names."""

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from sdm_ray.config import Config, JobConfig, load
from sdm_ray.errors import InputError
from sdm_ray.geo.blocks import Blocks
from sdm_ray.stores.holdout_config import HeldOutBlocks


class Inner(Config):
    rate: float = 0.1


class Example(JobConfig):
    output: str = "thing"
    name: str = "a"
    size: int = 3
    inner: Inner = Inner()
    steps: tuple[Inner, ...] = ()


def write(folder: Path, text: str) -> Path:
    file = folder / "demo" / "example.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_overrides_reach_inner_values_and_lists(tmp_path):
    file = write(tmp_path, "size: 4\nsteps: [{rate: 1}, {rate: 2}]\n")
    config = load(file, Example, ["inner.rate=1e-3", "name=b", "steps.1.rate=5"])
    assert (config.size, config.name, config.inner.rate) == (4, "b", 1e-3)
    assert [step.rate for step in config.steps] == [1, 5]


def test_run_folder_is_named_after_the_configurations_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "results"))
    config = load(write(tmp_path, ""), Example)
    assert str(config.path("map.zarr")) == str(tmp_path / "results" / "demo" / "map.zarr")
    assert str(config.path("/data/a.csv")) == "/data/a.csv"
    assert str(config.path("memory://bucket/a.csv")) == "memory://bucket/a.csv"


@pytest.mark.parametrize("written", ["run #3", "2024", "yes", "a: b"])
def test_a_run_folder_of_the_command_line_is_called_as_it_is_written(tmp_path, monkeypatch, written):
    monkeypatch.chdir(tmp_path)
    assert load(write(tmp_path, "run_dir: other"), Example, run_dir=written).run_dir == str(tmp_path / written)


def test_a_relative_run_folder_is_the_same_for_workers_in_other_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SDM_RAY_RUNS", raising=False)
    config = load(write(tmp_path, ""), Example)
    monkeypatch.chdir("/")
    assert str(config.path("encoder")) == str(tmp_path / "runs" / "demo" / "encoder")


def test_variables_are_expanded_and_a_missing_one_is_named(tmp_path, monkeypatch):
    file = write(tmp_path, "inner: {rate: 1}\nname: ${SDM_RAY_TEST_FOLDER}/x\n")
    monkeypatch.setenv("SDM_RAY_TEST_FOLDER", "/data")
    assert load(file, Example).name == "/data/x"
    monkeypatch.delenv("SDM_RAY_TEST_FOLDER")
    with pytest.raises(InputError, match=r"example\.yaml: name: .*SDM_RAY_TEST_FOLDER is not set"):
        load(file, Example)


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        ("siz: 3", [], "siz: unknown key"),
        ("inner: {rat: 3}", [], "inner.rat: unknown key"),
        ("size: many", [], "size: .*integer.*found 'many'"),
        ("size: [1]", [], "size: .*integer"),
        ("- a", [], "expected `key: value` lines, found list"),
        ("a: [", [], "line 1 is not YAML"),
        ("", ["size"], "override 'size': expected key=value"),
        ("size: 3", ["size.inner=3"], "'size' holds a single value"),
        ("steps: [{rate: 1}]", ["steps.4.rate=1"], "'4' is no position in a list of 1"),
    ],
)
def test_bad_configuration_is_one_line_that_names_the_key(tmp_path, text, overrides, expected):
    with pytest.raises(InputError, match=expected) as caught:
        load(write(tmp_path, text), Example, overrides)
    assert "\n" not in str(caught.value)


class Renamed(JobConfig):
    old_keys: ClassVar = {"rivals": "baselines"}

    baselines: int = 0
    blocks: HeldOutBlocks = Blocks()


def test_old_keys_are_read_and_told_once(tmp_path, capsys):
    file = write(tmp_path, "rivals: 3\nblocks: {select: 0.25}")
    config = load(file, Renamed)
    assert (config.baselines, config.blocks.validation) == (3, 0.25)
    assert capsys.readouterr().err.splitlines() == [
        f"{file}: `rivals` is now called `baselines`; the old name is read for one release",
        f"{file}: `select` is now called `validation`; the old name is read for one release",
    ]
    load(write(tmp_path, "baselines: 3"), Renamed)
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match="rivals: is the old name of baselines, which is given as well"):
        load(write(tmp_path, "rivals: 3"), Renamed, ["baselines=2"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.yaml: no such configuration file"):
        load(tmp_path / "nothing.yaml", Example)


def test_a_submitted_job_must_not_write_into_rays_copy(tmp_path, monkeypatch):
    file = write(tmp_path, "")
    copy = tmp_path / "working_dir_files" / "_ray_pkg_1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("SDM_RAY_RUNS", raising=False)
    with pytest.raises(InputError, match=r"runs/demo: lies in Ray's copy .* set SDM_RAY_RUNS"):
        load(file, Example)
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "results"))
    assert load(file, Example).run_dir == str(tmp_path / "results" / "demo")


@pytest.mark.parametrize("runs", ["s3://bucket/runs", "gs://bucket/runs/", "memory://runs"])
def test_runs_may_lie_in_a_bucket(tmp_path, monkeypatch, runs):
    monkeypatch.setenv("SDM_RAY_RUNS", runs)
    assert load(write(tmp_path, ""), Example).run_dir == f"{runs.rstrip('/')}/demo"


def test_configuration_loads_nothing_heavy():
    code = (
        "import sys, sdm_ray.cli, sdm_ray.sources.config, sdm_ray.training.pretrain.config, "
        "sdm_ray.training.finetune.config, sdm_ray.mapping.config, sdm_ray.indicators.config, "
        "sdm_ray.evaluation.config; "
        "print([m for m in ('torch', 'ray', 'timm', 'mlflow', 'zarr') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

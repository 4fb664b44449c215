"""The command line as a user meets it: help, one-line errors, exit status; and the job scripts."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers.proxied_store import KEYS
from typer.testing import CliRunner

from sdm_ray.cli import app, as_overrides
from sdm_ray.config_keys import inner_classes
from sdm_ray.jobs import JOBS, config_class, shipped_configs

JOBS_FOLDER = shipped_configs().parent / "jobs"


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setenv("SDM_RAY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    runner = CliRunner()

    def run(*arguments: str):
        return runner.invoke(app, list(arguments))

    return run


def config(folder: Path, name: str, text: str) -> str:
    file = folder / "demo" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return str(file)


def one_line(result, *expected: str) -> None:
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    for text in expected:
        assert text in lines[0]


def test_help_names_every_job(call):
    shown = call("--help").output
    assert all(name in shown for name in (*JOBS, "run", "demo"))


@pytest.mark.parametrize("job", JOBS)
def test_every_job_refuses_a_missing_file_and_an_unknown_key(call, tmp_path, job):
    one_line(call(job, str(tmp_path / "none.yaml")), f"sdm-ray {job}: ", "none.yaml: no such configuration file")
    one_line(call(job, config(tmp_path, job, "colour: red")), f"{job}.yaml: ", "colour: unknown key")


@pytest.mark.parametrize("job", JOBS)
def test_keys_lists_every_key_without_a_configuration(call, job):
    result = call(job, "--keys")
    assert result.exit_code == 0, result.output
    owner = config_class(job)
    for each in (owner, *inner_classes(owner)):
        assert all(f"  {name}: " in result.output for name in getattr(each, "model_fields", ())), each


def test_options_are_values_of_the_configuration(call, tmp_path):
    words = ["a.b=1", "--dry-run", "--from-embeddings", "e.zarr", "--bits=16", "--overwrite", "c=d"]
    assert as_overrides(words) == [
        "a.b=1",
        "dry_run=true",
        "from_embeddings=e.zarr",
        "bits=16",
        "overwrite=true",
        "c=d",
    ]
    file = config(tmp_path, "map", "covariates: c.zarr")
    one_line(call("map", file, "--tile", "100"), "tile 100 is no multiple of block 64")
    one_line(call("map", file, "--colour", "red"), "colour: unknown key")
    one_line(call("map", file, "--overwrite"), "model: missing; run the job that writes it first")


@pytest.mark.parametrize(
    ("job", "key", "value", "expected"),
    [
        ("pretrain", "optim.lr", "fast", "optim.lr"),
        ("finetune", "blocks.folds", "1", "blocks"),
        ("evaluate", "resamples", "1", "resamples"),
        ("map", "tile", "100", "tile 100 is no multiple of block 64"),
        ("indicators", "thresholds", "[2]", "thresholds"),
    ],
)
def test_a_wrong_value_is_named(call, tmp_path, job, key, value, expected):
    text = "scales: {plant: {shards: shards}}" if job == "pretrain" else "covariates: c.zarr"
    text = "" if job == "indicators" else text
    one_line(call(job, config(tmp_path, job, text), f"{key}={value}"), expected)


@pytest.mark.parametrize(("job", "missing"), [("finetune", "surveys.parquet"), ("map", "model"), ("indicators", "map")])
def test_an_artefact_that_is_not_there_is_named_and_nothing_is_written(call, tmp_path, job, missing):
    one_line(call(job, config(tmp_path, job, "")), missing, "missing; run the job that writes it first")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("job", "key"), [("finetune", "surveys"), ("indicators", "map")])
def test_a_store_out_of_reach_is_one_line(call, tmp_path, monkeypatch, job, key):
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    expected = "a store cannot be used (Could not connect to the endpoint URL: "
    one_line(call(job, config(tmp_path, job, f"{key}: s3://cli/there.zarr")), expected)


def table(folder: Path, **changed: object) -> Path:
    rows = {"survey": [1, 1, 2], "lon": [4.1, 4.1, 5.2], "lat": [44.0, 44.0, 45.5], "name": ["a", "b", "a"], **changed}
    file = folder / "surveys.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


PREPARE = """
surveys:
  source: tables
  table: {file}
  columns: {{survey: survey, species: {species}}}
  probability_kind: occurrence
"""


@pytest.mark.parametrize(
    ("changed", "species", "expected"),
    [
        ({}, "taxon", "taxon"),
        ({"lon": [44.0, 44.0, 45.5], "lat": [4.1, 4.1, 5.2]}, "name", "swapped"),
        ({"lon": [], "lat": [], "survey": [], "name": []}, "name", "surveys.csv"),
    ],
)
def test_tables_that_cannot_be_used_are_one_line(call, tmp_path, changed, species, expected):
    file = table(tmp_path, **changed)
    one_line(call("prepare", config(tmp_path, "prepare", PREPARE.format(file=file, species=species))), expected)
    assert not (tmp_path / "runs" / "demo" / "surveys.parquet").exists()


def test_a_good_table_is_prepared(call, tmp_path):
    result = call("prepare", config(tmp_path, "prepare", PREPARE.format(file=table(tmp_path), species="name")))
    assert result.exit_code == 0, result.output
    surveys = pd.read_parquet(tmp_path / "runs" / "demo" / "surveys.parquet")
    assert [len(each) for each in surveys.species] == [2, 1]


def test_a_script_is_the_command(tmp_path):
    for name in JOBS:
        assert f'job_main("{name}")' in (JOBS_FOLDER / f"{name}.py").read_text()
    missing = str(tmp_path / "none.yaml")
    found = subprocess.run([sys.executable, str(JOBS_FOLDER / "map.py"), missing], capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr.strip().endswith("none.yaml: no such configuration file")


def test_help_imports_nothing_heavy():
    code = (
        "import sys, sdm_ray.cli\n"
        "print([each for each in ('pydantic', 'yaml', 'upath', 'numpy', 'rich', 'ray') if each in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

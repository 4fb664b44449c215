"""No password, token or signature is printed, logged or stored."""

import json

import pytest
from mlflow import MlflowClient
from upath import UPath

from sdm_ray import job, progress
from sdm_ray.config import JobConfig, TrackingConfig
from sdm_ray.errors import InputError
from sdm_ray.redaction import redacted, redacted_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:s3cret@host/a does not answer", "https://***@host/a does not answer"),
        ("s3://bucket/a.tif?X-Amz-Signature=abc&b=1", "s3://bucket/a.tif?X-Amz-Signature=***&b=1"),
        ("https://h/a.tif?sv=1&sig=abc%3D&se=2", "https://h/a.tif?sv=1&sig=***&se=2"),
        ("(https://h/a?access_token=abc)", "(https://h/a?access_token=***)"),
        ("s3://bucket/signature=1/a.tif", "s3://bucket/signature=1/a.tif"),
        ("me@host.org, 3 of 4 tokens", "me@host.org, 3 of 4 tokens"),
    ],
)
def test_addresses_keep_their_place_and_lose_their_secret(text, expected):
    assert redacted(text) == expected


def test_values_of_keys_that_name_a_secret_are_hidden():
    values = {"sign": {"subscription_token": "abc", "url": "https://a:b@c"}, "tokens": ["a"], "bands": ["red"], "n": 3}
    assert redacted_values(values) == {
        "sign": {"subscription_token": "***", "url": "https://***@c"}, "tokens": ["***"], "bands": ["red"], "n": 3,
    }  # fmt: skip


def test_errors_and_lines_hide_them(capsys):
    assert str(InputError("https://a:b@c/x: no such file")) == "https://***@c/x: no such file"
    progress.say("MLflow run 1 at https://a:b@c")
    assert capsys.readouterr().out == "MLflow run 1 at https://***@c\n"


class SecretConfig(JobConfig):
    """A job with a secret in its configuration."""

    api_key: str = ""


def test_parameters_configurations_and_records_hide_them(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    config = SecretConfig(run_dir=str(tmp_path), output="land.zarr", api_key="abc", tracking=TrackingConfig(uri=uri))
    job.execute("map", config, lambda config, own: {}, "land")
    (run,) = MlflowClient(uri).search_runs(["1"])
    assert run.data.params["api_key"] == "***"
    text = MlflowClient(uri).download_artifacts(run.info.run_id, "config.yaml")
    assert "abc" not in UPath(text).read_text()
    record = json.loads((UPath(tmp_path) / "land.zarr" / "artefact.json").read_text())
    assert record["config"]["api_key"] == "***"

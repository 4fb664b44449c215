"""What a run leaves in MLflow."""

import pytest
from mlflow import MlflowClient
from upath import UPath

from sdm_ray import tracking
from sdm_ray.config import JobConfig, TrackingConfig
from sdm_ray.errors import InputError


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> JobConfig:
    folder = tmp_path_factory.mktemp("runs")
    uri = f"sqlite:///{folder}/mlflow.db"
    return JobConfig(run_dir=str(folder / "trial"), output="thing", tracking=TrackingConfig(uri=uri))


def test_a_run_holds_parameters_metrics_over_steps_and_files(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model" / "folds").mkdir(parents=True)
    (tmp_path / "model" / "folds" / "weights").write_text("w")
    (tmp_path / "curve.png").write_text("png")
    with tracking.start(config, "finetune") as tracker:
        tracker.params({"methods": {"frozen, linear": 1}})
        for step in (0, 10):
            tracker.metrics({"loss": 1.0 / (step + 1), "broken": float("nan"), "recall@20, (all)": 0.5}, step)
        tracker.folder(UPath(tmp_path) / "model", "model")
        tracker.picture(tmp_path / "curve.png")
    client = MlflowClient(config.tracking.uri)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["output"] == "thing" and run.data.params["methods.frozen_ linear"] == "1"
    assert [(m.step, m.value) for m in client.get_metric_history(tracker.run_id, "loss")] == [
        (0, 1.0),
        (10, 1 / 11),
    ]
    assert "broken" not in run.data.metrics
    assert run.data.metrics["recall_20_ _all_"] == 0.5  # one name that MLflow refuses would cost them all
    names = {entry.path for entry in client.list_artifacts(tracker.run_id, "model/folds")}
    assert names == {"model/folds/weights"}
    assert [entry.path for entry in client.list_artifacts(tracker.run_id, "pictures")] == ["pictures/curve.png"]
    assert client.get_experiment(run.info.experiment_id).name == "trial"


def test_a_failed_job_is_a_failed_run(config):
    with pytest.raises(ValueError), tracking.start(config, "map") as tracker:
        raise ValueError
    assert MlflowClient(config.tracking.uri).get_run(tracker.run_id).info.status == "FAILED"


def test_a_tracker_that_loses_its_server_costs_no_job(config):
    lost = tracking.Tracker("http://127.0.0.1:9", "none")
    lost.metrics({"loss": float("inf")})


def test_an_unusable_uri_is_one_line(config):
    wrong = config.model_copy(update={"tracking": TrackingConfig(uri="gopher://nobody")})
    with pytest.raises(InputError, match=r"tracking\.uri: .* does not answer"), tracking.start(wrong, "map"):
        pass

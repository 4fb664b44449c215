"""What a run leaves in MLflow."""

import contextlib

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


def test_nested_runs_are_closed_however_they_end(config):
    client = MlflowClient(config.tracking.uri)
    ended = {}
    with tracking.start(config, "tune") as tracker:
        for name, error in {"done": None, "stopped": SystemExit, "broken": ValueError, "lost": None}.items():
            with contextlib.suppress(SystemExit, ValueError), tracker.child(name) as own:
                ended[name] = own.run_id
                if error:
                    raise error
        client.update_run(ended["lost"], "RUNNING")  # as of a process that was killed
        tracker.close_children()
    found = {name: client.get_run(run).info.status for name, run in ended.items()}
    assert found == {"done": "FINISHED", "stopped": "KILLED", "broken": "FAILED", "lost": "KILLED"}
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    lost = tracking.Tracker("http://127.0.0.1:9", "none")
    with lost.child("trial") as own:
        assert own is lost


def test_a_continued_job_goes_on_in_its_run(config):
    client = MlflowClient(config.tracking.uri)
    with pytest.raises(KeyboardInterrupt), tracking.start(config, "tune") as first:
        first.params({"workers": 2})
        raise KeyboardInterrupt
    with tracking.start(config, "tune", first.run_id) as second:
        assert client.get_run(second.run_id).info.status == "RUNNING"
    assert second.run_id == first.run_id and client.get_run(second.run_id).info.status == "FINISHED"
    with tracking.start(config, "tune", "0" * 32) as third:  # of another database
        assert third.run_id not in (first.run_id, "0" * 32)


def test_runs_name_the_ray_job_that_they_belong_to(config, monkeypatch):
    assert tracking.submission_id() is None
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", '{"metadata": {"job_submission_id": "raysubmit_7"}}')
    with tracking.start(config, "map") as tracker:
        pass
    tags = MlflowClient(config.tracking.uri).get_run(tracker.run_id).data.tags
    assert tags["ray_job_id"] == "raysubmit_7"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "no JSON")
    assert tracking.submission_id() is None


def test_a_file_of_one_machine_is_refused_where_ranks_run_on_several():
    own = tracking.Tracker("sqlite:////tmp/mlflow.db", "run")
    node, head = ({"Alive": True, "Resources": {"CPU": cpus}} for cpus in (4.0, 0.0))
    own.require_reachable([node, {**node, "Alive": False}], 4)
    tracking.Tracker("https://mlflow", "run").require_reachable([node] * 3)
    for nodes in ([head], [node]):  # which others join
        with pytest.raises(InputError, match="has to grow beyond one node for 5 CPUs"):
            own.require_reachable(nodes, 5)
    with pytest.raises(InputError, match=r"tracking\.uri: sqlite:.* the cluster has 3 nodes: .*; expected a server"):
        own.require_reachable([node] * 3)


def test_an_unusable_uri_is_one_line(config):
    wrong = config.model_copy(update={"tracking": TrackingConfig(uri="gopher://nobody")})
    with pytest.raises(InputError, match=r"tracking\.uri: .* does not answer"), tracking.start(wrong, "map"):
        pass

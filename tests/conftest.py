"""What all tests share: the real data's folder and one Ray cluster for the session."""

import os

# Before torch and Ray are imported by a test: processes share two cores, on which threads would spin, and workers are
# started from this environment, not from one that `uv run` makes for each of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.1"  # trainings of a few steps end at a poll of Ray Train

import sys
from pathlib import Path

import pytest

from sdm_ray.buffers import ONE_ARENA
from sdm_ray.ray_runtime import RESTING


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With `-n 2 --dist loadgroup`, one process has the tests of Ray's cluster, the other one all others."""
    for item in items:
        if "ray_cluster" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("ray"))


@pytest.fixture(scope="session", autouse=True)
def _tracking_of_its_own(tmp_path_factory):
    """Of each process: two that make one SQLite database at once spoil it for each other."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(autouse=True)
def _ray_only_where_it_is_asked_for(request):
    """A test that starts Ray by itself would start a second one beside the session's."""
    before = _ray_runs()
    yield
    if not before and "ray_cluster" not in request.fixturenames:
        assert not _ray_runs(), "this test needs the fixture `ray_cluster`"


def _ray_runs() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("SDM_RAY_DATA")
    if not folder:
        pytest.skip("SDM_RAY_DATA is not set: the tests on real data need it")
    return Path(folder)


@pytest.fixture
def geoclip(tmp_path) -> Path:
    """Weights of GeoCLIP's location encoder that have learnt nothing, named as the published ones."""
    import torch

    from sdm_ray.models.geoclip import _NAMES, Capsules

    torch.manual_seed(0)
    named = {
        f"LocEnc{number}.{theirs}": part.state_dict()[ours]
        for number, part in enumerate(Capsules().parts)
        for theirs, ours in _NAMES.items()
    }
    torch.save(named, tmp_path / "geoclip.pth")
    return tmp_path / "geoclip.pth"


@pytest.fixture(scope="session")
def ray_cluster():
    """One Ray of 2 CPUs for every test that needs one: it takes seconds to start."""
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    os.environ |= ONE_ARENA | RESTING
    import ray
    from helpers.many_nodes import wait_for_nodes_to_start

    wait_for_nodes_to_start()
    quiet = {"include_dashboard": False, "logging_level": "WARNING", "log_to_driver": False}
    ray.init(address="local", num_cpus=2, object_store_memory=1 << 29, **quiet)
    yield
    ray.shutdown()

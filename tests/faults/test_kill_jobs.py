"""The short form of `kill_jobs.py`, and that it would see a difference."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import EndpointConnectionError
from faults import small_chain
from faults.kill_jobs import ways
from faults.same_content import differences
from helpers.many_nodes import run_program
from helpers.proxied_store import store
from safetensors.numpy import save_file
from upath import UPath

from sdm_ray import jobs
from sdm_ray.config import load
from sdm_ray.geo.grid import Grid
from sdm_ray.stores.land import write_land

GRID = Grid(4_000_000, 3_000_000, 1000, 40, 30)


@pytest.mark.xdist_group("nodes")
def test_a_map_whose_worker_and_driver_are_killed_is_equal_to_one_that_nothing_happened_to():
    said = run_program(Path(__file__).with_name("kill_jobs.py"), "--quick")
    found = json.loads(next(line for line in reversed(said.splitlines()) if line.startswith("{")))
    assert found["holds"] and found["goal"] == 2
    assert "worker ray::" in said and "driver" in said, said  # neither came too late


def land(path, cells):
    mask = np.zeros(GRID.shape, bool)
    mask[cells] = True
    write_land(path, GRID, mask, mask.astype(np.int16), ["Land"])
    return path


def test_one_cell_of_an_array_makes_a_difference(tmp_path):
    same = [land(UPath(tmp_path / name / "land.zarr"), (3, 4)) for name in "ab"]
    other = land(UPath(tmp_path / "c" / "land.zarr"), ([3, 5], [4, 5]))
    assert differences(*same) == []
    assert differences(same[0], other) == [
        "array country differs in 1 of 1200 values", "array land differs in 1 of 1200 values"
    ]  # fmt: skip
    (other / "left.tmp").write_text("an orphan")
    assert "only one has left.tmp" in differences(same[0], other)


def test_weights_may_differ_by_rounding_and_archives_not_at_all(tmp_path):
    for name, shift in (("a", 0.0), ("b", 5e-6), ("c", 2e-5)):
        (tmp_path / name).mkdir()
        save_file({"w": np.full(3, 1 + shift, np.float32)}, tmp_path / name / "model.safetensors")
        content = tmp_path / "member"
        content.write_text(str(int(shift > 1e-5)))
        with tarfile.open(tmp_path / name / "shard.tar", "w") as archive:
            archive.add(content, "member")
    assert differences(UPath(tmp_path / "a"), UPath(tmp_path / "b")) == []
    found = differences(UPath(tmp_path / "a"), UPath(tmp_path / "c"))
    assert found[0].startswith("model.safetensors: w differs by 2e-05") and found[1] == "shard.tar differs"


def test_a_store_can_be_out_of_reach_for_a_while_and_keeps_what_it_has():
    with store("outage") as proxy:
        UPath("s3://outage/kept").write_text("content")
        proxy.stop()
        UPath("s3://outage").fs.clear_instance_cache()
        with pytest.raises(EndpointConnectionError):
            UPath("s3://outage/kept", config_kwargs={"retries": {"total_max_attempts": 1}}).read_text()
        proxy.begin()
        UPath("s3://outage").fs.clear_instance_cache()
        assert UPath("s3://outage/kept").read_text() == "content"
    UPath("s3://outage").fs.clear_instance_cache()


def test_each_job_is_killed_in_the_ways_that_it_can_be():
    assert ways("prepare", ["worker", "driver", "node"]) == ["driver"]
    assert ways("finetune", ["worker", "disk", "store"]) == ["worker"]
    assert set(small_chain.OUTPUTS) == set(small_chain.JOBS)


def test_the_configurations_of_the_chain_are_those_of_jobs(tmp_path):
    small_chain.write(tmp_path)
    for name in small_chain.JOBS:
        load(tmp_path / "configs" / f"{name}.yaml", jobs.config_class(name))

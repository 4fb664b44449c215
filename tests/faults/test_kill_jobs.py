"""The short form of `kill_jobs.py`, and that it would see a difference."""

import json
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import EndpointConnectionError
from faults import small_chain
from faults.harm import is_at_work
from faults.kill_jobs import figure, ways
from faults.moments import Untouched, tiles_written, wait
from faults.running import Running
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
    assert found["holds"] and found["goal"] == 2 and found["not harmed"] == 0
    assert "worker ray::" in said and "driver" in said, said


def job_that_says(folder, *lines, pause=0.0):
    """A program in the place of a job, which says some lines."""
    said = folder / "said.txt"
    said.write_text("of the job before: step 1: loss 1\n")
    code = f"import time\nfor line in {lines!r}:\n    print(line, flush=True); time.sleep({pause})"
    with said.open("a") as file:
        return Running(
            subprocess.Popen([sys.executable, "-c", code], stdout=file, text=True), said, said.stat().st_size
        )


def test_a_moment_comes_once_as_many_epochs_are_over_as_were_drawn(tmp_path):
    epochs = [f"  all: step {step}: loss 0.5" for step in range(1, 7)]
    seen = set()
    for seed in range(4):
        job = job_that_says(tmp_path, *epochs, pause=0.15)
        moment = wait("finetune", job, UPath(tmp_path / "model"), Untouched(1.0, 6), random.Random(seed))
        job.process.kill()
        job.process.wait()
        done, drawn = int(moment.split()[1]), int(moment.split()[-1])
        assert drawn <= done <= 6 and drawn < 6
        seen.add(drawn)
    assert len(seen) > 1


def test_a_moment_that_never_comes_ends_with_the_job(tmp_path):
    job = job_that_says(tmp_path, "done")
    for name in ("finetune", "map", "prepare"):
        wait(name, job, UPath(tmp_path / "x"), Untouched(1e6, 1_000_000), random.Random(1))
    assert job.ended


def test_tiles_are_counted_by_their_records_or_by_their_files(tmp_path):
    assert tiles_written(UPath(tmp_path / "none")) == 0
    for name in ("ledger/a.json", "ledger/b.json", "ledger/c.json.tmp", "0/richness/c/0/0"):
        (tmp_path / "map" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "map" / name).write_text("")
    assert tiles_written(UPath(tmp_path / "map")) == 2
    for name in ("0/richness/c/0/0", "0/richness/c/0/1", "0/richness/c/0/1.tmp", "0/richness/zarr.json", "species.csv"):
        (tmp_path / "indicators" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "indicators" / name).write_text("")
    assert tiles_written(UPath(tmp_path / "indicators")) == 2


def test_what_stays_between_jobs_is_no_worker_at_work():
    assert is_at_work("ray::tile E4224000N2896000") and is_at_work("ray::RayTrainWorker.execute")
    idle = ("ray::IDLE", "ray::DashboardAgent", "ray::_AutoscalingCoordinatorActor", "ray::PlacementGroupCleaner")
    for words in (*idle, "python kill_jobs.py"):
        assert not is_at_work(words)


def test_a_job_that_ended_before_its_harm_does_not_count_as_equal(capsys):
    assert figure("equal", [[], []]) == 0
    assert figure("equal", [[], None]) == 1 and figure("equal", [[], ["a differs"]]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["value"], each["goal"], each["not harmed"]) for each in told] == [(2, 2, 0), (1, 2, 1), (1, 2, 0)]


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


def test_the_losses_of_a_training_may_differ_by_rounding(tmp_path):
    for name, loss in (("a", 0.5), ("b", 0.5 + 5e-6), ("c", 0.5 + 5e-5)):
        (tmp_path / name).mkdir()
        figures = {"auc": 0.7, "history": [{"loss": 0.6, "auc": float("nan")}, {"loss": loss, "auc": 0.7}]}
        (tmp_path / name / "metrics.json").write_text(json.dumps(figures))
        (tmp_path / name / "trials.csv").write_text(f"trial,optim.lr,auc\n0,0.001,{loss}\n")
    assert differences(UPath(tmp_path / "a"), UPath(tmp_path / "b")) == []
    assert differences(UPath(tmp_path / "a"), UPath(tmp_path / "c")) == [
        "metrics.json: history[1].loss is 0.5 and 0.50005", "trials.csv: [0].auc is 0.5 and 0.50005"
    ]  # fmt: skip
    (tmp_path / "c" / "metrics.json").write_text(json.dumps({"auc": 0.7, "history": []}))
    assert "metrics.json: history has 2 and 0 entries" in differences(UPath(tmp_path / "a"), UPath(tmp_path / "c"))


def test_a_store_that_is_started_anew_refuses_connections_meanwhile_and_keeps_what_it_has():
    with store("outage", restarts=True) as proxy:
        content = bytes(range(256)) * 1000
        UPath("s3://outage/a/kept b").write_bytes(content)
        UPath("s3://outage/removed").write_text("")
        UPath("s3://outage/removed").unlink()
        proxy.stop()
        UPath("s3://outage").fs.clear_instance_cache()
        with pytest.raises(EndpointConnectionError):
            UPath("s3://outage/a/kept b", config_kwargs={"retries": {"total_max_attempts": 1}}).read_bytes()
        proxy.restart_server(0.0)
        UPath("s3://outage").fs.clear_instance_cache()
        assert UPath("s3://outage/a/kept b").read_bytes() == content
        assert not UPath("s3://outage/removed").exists() and proxy.server.starts == 2
    UPath("s3://outage").fs.clear_instance_cache()


def test_each_job_is_killed_in_the_ways_that_it_can_be():
    assert ways("prepare", ["worker", "driver", "node"]) == ["driver"]
    assert ways("finetune", ["worker", "disk", "store"]) == ["worker"]
    assert ways("evaluate", ["worker", "driver"]) == ["driver"] and "store" in ways("change", ["store"])
    assert set(small_chain.OUTPUTS) == set(small_chain.CHAIN) > set(small_chain.JOBS)


def test_the_configurations_of_the_chain_are_those_of_jobs(tmp_path):
    small_chain.write(tmp_path)
    for name in small_chain.CHAIN:
        load(tmp_path / "configs" / f"{name}.yaml", jobs.config_class(name.partition("-")[0]))

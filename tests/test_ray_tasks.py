import os
import signal
import time

import pytest
import ray

from sdm_ray import ray_tasks
from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.geo.windows import Tile, Window
from sdm_ray.ray_tasks import fitting, run_tasks

FEW = TaskConfig(workers=2, cpus=0.25)


def parts(*names):
    return [Tile(name, Window(0, 0, 1, 1)) for name in names]


def test_failures_are_tried_once_more_and_then_listed(ray_cluster, tmp_path):
    def work(folder, part):
        tries = len(list(folder.glob(f"{part.id}-*")))
        (folder / f"{part.id}-{tries}").touch()
        if part.id == "always" or (part.id == "once" and tries == 0):
            raise OSError("no space left\nand more of it")
        if part.id == "killed" and tries < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return part.id.upper()

    todo = parts("a", "once", "always", "killed", "b")
    ended = {part.id: (result, problem) for part, result, problem in run_tasks(work, tmp_path, todo, FEW)}
    assert ended == {
        "a": ("A", None),
        "b": ("B", None),
        "once": ("ONCE", None),
        "killed": ("KILLED", None),
        "always": (None, "OSError: no space left"),
    }
    assert len(list(tmp_path.glob("always-*"))) == 2


def test_no_more_than_workers_are_under_way(ray_cluster, tmp_path):
    def work(folder, part):
        (folder / part.id).touch()
        time.sleep(0.2)
        count = len(list(folder.iterdir()))
        (folder / part.id).unlink()
        return count

    ended = run_tasks(work, tmp_path, parts(*"abcdef"), FEW)
    assert max(count for _, count, _ in ended) <= 2


def test_what_is_under_way_is_cancelled_but_never_starts_ray_anew(ray_cluster, tmp_path, monkeypatch):
    cancelled = []
    monkeypatch.setattr(ray, "cancel", cancelled.append)

    def first_of_three():
        ended = run_tasks(lambda _, part: part.id, tmp_path, parts(*"abc"), FEW)
        next(ended)
        return ended

    first_of_three().close()
    assert len(cancelled) == 2
    left = first_of_three()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as when Python ends
    left.close()
    assert len(cancelled) == 2


def test_where_the_first_parts_all_fail_for_one_reason_the_others_are_not_tried(ray_cluster, tmp_path):
    def work(folder, part):
        (folder / f"{part.id}-{time.time_ns()}").touch()
        raise ModuleNotFoundError(f"No module named 'gdal' in part {part.id}")

    with pytest.raises(InputError, match=r"the first 10 parts all failed for one reason, .*: ModuleNotFound"):
        list(run_tasks(work, tmp_path, parts(*map(str, range(200))), FEW))
    assert len(list(tmp_path.iterdir())) < 40


def test_parts_that_fail_for_several_reasons_or_after_others_do_not_end_the_work():
    tries = ray_tasks._Tries()
    for number in range(50):
        tries.note(f"{('OSError', 'ValueError')[number % 2]}: part {number}")
    tries = ray_tasks._Tries()
    tries.note(None)
    for number in range(50):
        tries.note(f"OSError: part {number}")


def test_as_many_parts_fit_as_single_nodes_have_room_for():
    half = TaskConfig(cpus=2, gpus=0.5, reserve_mb=1024)
    node = {"CPU": 8.0, "GPU": 1.0, "memory": 64 * 2.0**30}
    assert fitting([node, node | {"CPU": 3.0}, {"CPU": 64.0}], half) == 2 + 1 + 0
    assert fitting([node | {"memory": 2.0**30}], half) == 1
    assert fitting([{"CPU": 1.0}, {"CPU": 1.0}], TaskConfig(cpus=2)) == 0  # of two nodes none is large enough
    assert fitting([{"CPU": 0.3}], TaskConfig(cpus=0.1)) == 3


def test_more_parts_are_pending_than_fit_and_some_where_none_does(monkeypatch):
    nodes = [{"Alive": True, "NodeID": "n", "Resources": {}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray_tasks, "_LOOK_S", 0.0)
    width = ray_tasks._Width(TaskConfig())
    assert width() == 16  # a head without CPUs: an autoscaler sees them
    nodes += [
        {"Alive": True, "NodeID": "n", "Resources": {"CPU": 32.0}},
        {"Alive": False, "NodeID": "n", "Resources": {"CPU": 32.0}},
    ]
    assert width() == 64
    assert ray_tasks._Width(TaskConfig(workers=3))() == 3


def test_a_part_that_fits_nowhere_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "NodeID": "n", "Resources": {"CPU": 4.0}}])
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})
    monkeypatch.setattr(ray_tasks, "_PATIENCE_S", -1.0)
    width = ray_tasks._Width(TaskConfig(gpus=1))
    width()
    for _ in range(3):
        width.note(False)
    (record,) = caplog.records
    assert "1 CPUs, 1 GPUs): waiting for one; the nodes together have 4 CPUs and 0 GPUs" in record.getMessage()

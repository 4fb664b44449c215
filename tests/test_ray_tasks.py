import os
import signal
import time

import ray

from sdm_ray.config import TaskConfig
from sdm_ray.geo.windows import Tile, Window
from sdm_ray.ray_tasks import run_tasks

FEW = TaskConfig(workers=2, cpus=0.25)


def parts(*names):
    return [Tile(name, Window(0, 0, 1, 1)) for name in names]


def test_failures_are_tried_once_more_and_then_listed(ray_cluster, tmp_path):
    def work(folder, part):
        tries = len(list(folder.glob(f"{part.id}-*")))
        (folder / f"{part.id}-{tries}").touch()
        if part.id == "always" or (part.id == "once" and tries == 0):
            raise OSError("no space left\nand more of it")
        if part.id == "killed" and tries == 0:
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

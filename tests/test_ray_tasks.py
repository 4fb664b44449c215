import os
import signal
import time

import ray

from sdm_ray.config import TaskConfig
from sdm_ray.geo.windows import Tile, Window
from sdm_ray.ray_tasks import spread

FEW = TaskConfig(workers=2, cpus=0.25)


def pieces(*names):
    return [Tile(name, Window(0, 0, 1, 1)) for name in names]


def test_failures_are_tried_once_more_and_then_listed(ray_cluster, tmp_path):
    def work(folder, piece):
        tries = len(list(folder.glob(f"{piece.id}-*")))
        (folder / f"{piece.id}-{tries}").touch()
        if piece.id == "always" or (piece.id == "once" and tries == 0):
            raise OSError("no space left\nand more of it")
        if piece.id == "killed" and tries == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return piece.id.upper()

    todo = pieces("a", "once", "always", "killed", "b")
    ended = {piece.id: (result, problem) for piece, result, problem in spread(work, tmp_path, todo, FEW)}
    assert ended == {
        "a": ("A", None),
        "b": ("B", None),
        "once": ("ONCE", None),
        "killed": ("KILLED", None),
        "always": (None, "OSError: no space left"),
    }
    assert len(list(tmp_path.glob("always-*"))) == 2


def test_no_more_than_workers_are_under_way(ray_cluster, tmp_path):
    def work(folder, piece):
        (folder / piece.id).touch()
        time.sleep(0.2)
        count = len(list(folder.iterdir()))
        (folder / piece.id).unlink()
        return count

    ended = spread(work, tmp_path, pieces(*"abcdef"), FEW)
    assert max(count for _, count, _ in ended) <= 2


def test_what_is_under_way_is_cancelled_but_never_starts_ray_anew(ray_cluster, tmp_path, monkeypatch):
    cancelled = []
    monkeypatch.setattr(ray, "cancel", cancelled.append)

    def first_of_three():
        ended = spread(lambda _, piece: piece.id, tmp_path, pieces(*"abc"), FEW)
        next(ended)
        return ended

    first_of_three().close()
    assert len(cancelled) == 2
    left = first_of_three()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as when Python ends
    left.close()
    assert len(cancelled) == 2

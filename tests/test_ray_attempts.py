import time

import pytest

from sdm_ray import ray_attempts
from sdm_ray.config import TaskConfig
from sdm_ray.geo.windows import Tile, Window
from sdm_ray.ray_tasks import run_tasks

FEW = TaskConfig(workers=3, cpus=0.25)


@pytest.fixture(autouse=True)
def late_soon(monkeypatch):
    monkeypatch.setattr(ray_attempts, "_LATE_S", 0.5)


@pytest.fixture
def attempt():
    """Gives the number of this attempt at a part; workers, which do not have this module, get a copy."""

    def counted(folder, part):
        number = len(list(folder.glob(f"{part.id}-*")))
        (folder / f"{part.id}-{number}").touch()
        return number

    return counted


def parts(*names):
    return [Tile(name, Window(0, 0, 1, 1)) for name in names]


def test_a_part_that_hangs_begins_a_second_time_and_the_first_attempt_is_ended(ray_cluster, tmp_path, attempt):
    def work(folder, part):
        number = attempt(folder, part)
        if part.id == "late" and number == 0:
            while True:
                time.sleep(0.1)
                (folder / "alive").write_text(str(time.time()))
        return number

    ended = {part.id: result for part, result, _ in run_tasks(work, tmp_path, parts("late", *"abc"), FEW, twice=True)}
    assert ended == {"late": 1, "a": 0, "b": 0, "c": 0}
    while float((tmp_path / "alive").read_text() or time.time()) > time.time() - 3:  # or it would write for ever
        time.sleep(0.2)


def test_where_the_second_attempt_fails_the_first_counts(ray_cluster, tmp_path, attempt):
    def work(folder, part):
        number = attempt(folder, part)
        if part.id == "late" and number == 0:
            while not (folder / "late-1").exists():
                time.sleep(0.1)
            time.sleep(1)
        elif number > 0:
            raise OSError("no space left")
        return number

    ended = list(run_tasks(work, tmp_path, parts("late", *"abc"), FEW, twice=True))
    assert sorted((part.id, result, problem) for part, result, problem in ended) == [
        ("a", 0, None),
        ("b", 0, None),
        ("c", 0, None),
        ("late", 0, None),
    ]
    assert len(list(tmp_path.glob("late-*"))) == 2


def test_nothing_begins_twice_unless_the_work_bears_it(ray_cluster, tmp_path, attempt):
    def work(folder, part):
        number = attempt(folder, part)
        time.sleep(4 if part.id == "late" else 0)
        return number

    ended = {part.id: result for part, result, _ in run_tasks(work, tmp_path, parts("late", *"abc"), FEW)}
    assert set(ended.values()) == {0}
    assert len(list(tmp_path.glob("late-*"))) == 1


def test_where_the_second_attempt_fails_while_the_first_hangs_there_is_a_third(ray_cluster, tmp_path, attempt):
    def work(folder, part):
        number = attempt(folder, part)
        if part.id == "late" and number == 0:
            time.sleep(600)
        if number == 1:
            raise OSError("no route to host")
        return number

    ended = {part.id: result for part, result, _ in run_tasks(work, tmp_path, parts("late", *"abc"), FEW, twice=True)}
    assert ended == {"late": 2, "a": 0, "b": 0, "c": 0}


def test_parts_are_late_after_twice_what_three_of_four_took():
    assert ray_attempts.late_after([]) == float("inf")
    assert ray_attempts.late_after([0.0] * 9) == ray_attempts._LATE_S  # sea, say
    assert ray_attempts.late_after([0.0] * 6 + [10.0] * 4) == 20.0


def test_two_parts_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two parts have one name"):
        next(run_tasks(len, tmp_path, parts("a", "a"), FEW))

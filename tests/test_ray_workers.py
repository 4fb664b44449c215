from types import SimpleNamespace

import pytest
import ray

from sdm_ray import ray_workers
from sdm_ray.config import TaskConfig
from sdm_ray.errors import InputError
from sdm_ray.geo.windows import Tile, Window
from sdm_ray.ray_workers import Actors, line_of


class FewGpus:
    """Stands for Ray where so many GPUs are: an actor runs once one is free, and keeps it until it is killed."""

    def __init__(self, gpus):
        self.gpus, self.made, self.alive, self.asked, self.dies = gpus, [], [], [], set()

    def remote(self, kind):
        return SimpleNamespace(options=lambda **held: SimpleNamespace(remote=self._make))

    def _make(self, *arguments):
        actor = SimpleNamespace(number=len(self.made))
        actor.ready = SimpleNamespace(remote=lambda: self._ask(actor, None))
        do = SimpleNamespace(remote=lambda part: self._ask(actor, part))
        actor.do = SimpleNamespace(options=lambda name: do)
        self.made.append(actor)
        self._place()
        return actor

    def _ask(self, actor, part):
        self.asked.append((actor.number, part.id if part else None))
        return self.asked[-1]

    def _place(self):
        running = [actor for actor in self.made if actor in self.alive]
        waiting = [actor for actor in self.made if actor not in self.alive and not hasattr(actor, "killed")]
        self.alive += waiting[: self.gpus - len(running)]

    def wait(self, references, num_returns, timeout):
        numbers = [actor.number for actor in self.alive]
        able = [each for each in references if each[0] in numbers]
        return sorted(able, key=self.asked.index)[:1], []  # in the order of asking

    def get(self, reference):
        number, part = reference
        if part in self.dies:
            self.dies.discard(part)
            self.kill(self.made[number])
            raise ray.exceptions.ActorDiedError
        return (number, None, 1.0) if part else (None, None, 0.0)

    def kill(self, actor):
        actor.killed = True
        if actor in self.alive:
            self.alive.remove(actor)
        self._place()


@pytest.fixture
def few(monkeypatch):
    fake = FewGpus(2)
    for name in ("remote", "wait", "get", "kill"):
        monkeypatch.setattr(ray_workers.ray, name, getattr(fake, name))
    return fake


def all_done(crew, parts):
    for part in parts:
        crew.start(part)
    found, looks = [], 0
    while len(crew):
        found += crew.ended(1.0)
        looks += 1
        assert looks < 200, "parts wait for ever"
    return found


def parts(count):
    return [Tile(str(number), Window(0, 0, 1, 1)) for number in range(count)]


def test_parts_go_to_actors_that_have_their_gpu(few):
    crew = Actors(len, None, TaskConfig(gpus=1))
    ended = all_done(crew, parts(16))
    assert sorted(int(each.part.id) for each in ended) == list(range(16)) and not any(each.problem for each in ended)
    assert {each.result for each in ended} == {0, 1}  # the others were asked for, and would be used on a larger cluster
    assert len(few.made) == 16
    crew.stop()
    assert few.alive == []


def test_an_actor_that_dies_is_replaced_and_its_part_is_told(few):
    few.dies = {"3"}
    crew = Actors(len, None, TaskConfig(gpus=1))
    ended = {each.part.id: each for each in all_done(crew, parts(6))}
    assert ended["3"].lost and ended["3"].result is None
    assert sum(each.problem is None for each in ended.values()) == 5
    (again,) = all_done(crew, parts(1))
    assert again.problem is None


def test_a_part_that_is_dropped_is_neither_waited_for_nor_worked_at(few):
    crew = Actors(len, None, TaskConfig(gpus=1))
    one, two, three = parts(3)
    for each in (one, two, three):
        crew.start(each)
    crew.ended(1.0)
    crew.ended(1.0)
    crew.drop(one)
    crew.drop(three)
    assert len(crew) == 1 and len(few.alive) == 2
    assert [each.part for each in crew.ended(1.0) + crew.ended(1.0)] == [two]


def test_a_line_tells_the_cause_inside_what_ray_wraps():
    assert line_of(OSError("no space left\nand more")) == "OSError: no space left"
    assert line_of(InputError("map.zarr: is no map")) == "map.zarr: is no map"
    wrapped = (
        "ray::_guarded() (pid=1)\nRuntimeError: The remote function failed to import on the worker. \n\n"
        "Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'sdm_ray'\n"
    )
    assert line_of(RuntimeError(wrapped)) == "ModuleNotFoundError: No module named 'sdm_ray'"

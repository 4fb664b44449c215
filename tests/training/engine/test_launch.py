import pytest
import ray
import torch
from helpers import toy
from ray.experimental.internal_kv import _internal_kv_list
from ray.train import TrainingFailedError
from upath import UPath

from sdm_ray.job import Job
from sdm_ray.training.engine.config import WorkersConfig
from sdm_ray.training.engine.launch import launch, persist


def run(folder, workers, **settings):
    folder.mkdir()
    one = toy.Toy(str(folder), steps_per_epoch=3, epochs=3, **settings)
    launch(one, Job(UPath(folder / "out"), "a" * 32, {}, False, None), workers)
    return one


def test_two_ranks_one_of_them_killed_give_what_one_gives(tmp_path, ray_cluster, capsys):
    alone = run(tmp_path / "alone", WorkersConfig(count=0))
    two = run(tmp_path / "two", WorkersConfig(count=2, cpus=0.5, checkpoint_s=0), kill_at=6)
    assert (tmp_path / "two" / "killed").exists()
    told = capsys.readouterr().out
    assert told.index("a worker was lost") < told.index("continues at step") < told.rindex("step 9: ")
    assert not _internal_kv_list("sdm_ray:")  # nothing that was said is left behind
    lines = [(tmp_path / "two" / f"places-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    steps = [f"{a} {b}".split() for a, b in zip(lines[0][-3:], lines[1][-3:], strict=True)]  # after the resume
    assert [list(map(int, step)) for step in steps] == alone.places(1)[-3:]
    for name, value in alone.weights().items():
        assert torch.allclose(value, two.weights()[name], atol=1e-6)
    assert two.losses() == pytest.approx(alone.losses(), rel=1e-5)  # also of the epoch that was interrupted
    assert not (tmp_path / "two" / ".train").exists() or not any((tmp_path / "two" / ".train").iterdir())


def test_training_goes_on_with_fewer_ranks_than_wished_for(tmp_path, ray_cluster):
    alone = run(tmp_path / "alone", WorkersConfig(count=0))
    cpus = ray_cluster_cpus() * 0.6  # room for one rank of two
    elastic = run(tmp_path / "elastic", WorkersConfig(count=2, least=1, cpus=cpus, checkpoint_s=0))
    assert not (tmp_path / "elastic" / "places-1.txt").exists()
    for name, value in alone.weights().items():
        assert torch.allclose(value, elastic.weights()[name], atol=1e-6)


def test_failures_are_counted_since_the_last_checkpoint(tmp_path, capsys):
    storage = UPath(tmp_path) / "run"

    def training(outcomes):
        """A training that reaches a checkpoint, or none, and fails, until it ends."""
        left = iter(enumerate(outcomes))

        def train():
            number, reaches = next(left, (None, None))
            if number is None:
                return
            if reaches:
                (storage / f"checkpoint_2026-01-01_{number:02d}").mkdir(parents=True)
            raise TrainingFailedError(f"lost {number}")

        return train, left

    train, left = training([True] * 9)
    persist(train, storage, retries=2)
    assert next(left, None) is None and capsys.readouterr().out.count("a worker was lost") == 9
    train, left = training([False, False, False, True])
    with pytest.raises(TrainingFailedError, match="lost 2"):
        persist(train, storage, retries=2)


def ray_cluster_cpus() -> float:
    return ray.cluster_resources()["CPU"]

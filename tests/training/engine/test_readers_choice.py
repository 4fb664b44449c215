"""Who reads images is chosen by where they lie and by which CPUs are free, and the reason is printed."""

import pytest

from sdm_ray.training.engine import readers_choice
from sdm_ray.training.engine.config import WorkersConfig
from sdm_ray.training.engine.readers_choice import choose, with_readers
from sdm_ray.training.pretrain.config import PretrainConfig

GPU, CPU = {"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0}
LOCAL, REMOTE = ["/data/shards"], ["s3://bucket/shards"]


@pytest.mark.parametrize(
    ("workers", "places", "nodes", "tasks", "reason"),
    [
        ({}, [], [CPU], 0, "no images"),
        ({"count": 0}, REMOTE, [CPU], 0, "driver's own process"),
        ({"count": 2, "cpus": 2}, LOCAL, [CPU], 0, "on a local disk, and ranks have cores"),
        ({"count": 2, "cpus": 2}, REMOTE, [CPU], 2, "s3://bucket/shards is far away, and tasks on 12 free CPUs"),
        ({"count": 2, "cpus": 1}, REMOTE, [{"CPU": 2.0}], 0, "far away, but 0 CPUs are left beside 2 ranks"),
        ({"count": 4, "cpus": 4, "gpus": 1}, LOCAL, [GPU, CPU], 2, "nodes without a GPU"),
        ({"count": 4, "cpus": 2, "gpus": 1}, LOCAL, [GPU], 0, "on a local disk"),
        ({"count": 4, "cpus": 1, "gpus": 1}, LOCAL * 3, [GPU], 2, "1 CPUs for 3 streams, and 12 are free"),
    ],
)
def test_the_way_to_read_follows_the_place_and_the_cluster(workers, places, nodes, tasks, reason):
    found = choose(WorkersConfig(**workers), places, nodes)
    assert found.tasks == tasks and reason in found.reason


def test_a_cluster_that_starts_from_no_worker_is_asked_for_readers_as_well():
    workers, head = WorkersConfig(count=4, cpus=14, gpus=1), [{"memory": 1.0}]
    assert choose(workers, REMOTE, head).tasks == 0  # one machine that is too small stays so
    found = choose(workers, REMOTE, head, grows=True)
    assert found.tasks == 2 and "has to grow for the ranks" in found.reason
    assert choose(workers, REMOTE, [{"CPU": 14.0, "GPU": 1.0}] * 4, grows=True).tasks == 0  # ranks hold what there is


def test_the_choice_is_printed_and_a_number_is_left_as_it_is(monkeypatch, capsys):
    monkeypatch.setattr(readers_choice, "connect", lambda: pytest.fail("needs no cluster"))
    config = PretrainConfig(scales={"plant": {"shards": "shards"}}, workers={"count": 0})
    assert config.workers.reader_tasks == 0 and config.image_places() == ["shards"]
    chosen = with_readers(config, config.workers, config.image_places())
    assert chosen.workers.readers == 0
    assert "workers.readers: threads of each rank read images: training runs" in capsys.readouterr().out
    fixed = PretrainConfig(scales={"plant": {"shards": "shards"}}, workers={"readers": 3})
    assert with_readers(fixed, fixed.workers, fixed.image_places()) is fixed

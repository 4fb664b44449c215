"""Who reads images is chosen by where they lie and by which CPUs are free, and the reason is printed."""

import pytest

from sdm_ray.errors import InputError
from sdm_ray.training.engine import readers_choice
from sdm_ray.training.engine.config import WorkersConfig
from sdm_ray.training.engine.readers_choice import check_readers, choose, reader_tasks, store_share, with_readers
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
    assert not config.workers.reads_by_tasks and config.image_places() == ["shards"]
    chosen = with_readers(config, config.workers, config.image_places())
    assert chosen.workers.readers == 0
    assert "workers.readers: threads of each rank read images: training runs" in capsys.readouterr().out
    fixed = PretrainConfig(scales={"plant": {"shards": "shards"}}, workers={"readers": 0})
    assert with_readers(fixed, fixed.workers, fixed.image_places()) == fixed


def nodes(*cpus, **labels):
    return [{"Alive": True, "Resources": {"CPU": each, "object_store_memory": 1e9}, "Labels": labels} for each in cpus]


def test_readers_without_room_are_refused_before_training(capsys):
    two = WorkersConfig(count=2, cpus=1, readers=2)
    with pytest.raises(
        InputError, match=r"^workers\.readers: nodes have room for 0 tasks of 0\.25 CPUs beside 2 ranks of 1 CPUs"
    ):
        check_readers(two, 1, nodes(2))
    with pytest.raises(InputError, match=r"room for 2 tasks .* expected 4 or more, one for each stream and for valida"):
        check_readers(two, 1, nodes(2.5))
    check_readers(two, 1, nodes(2, 1))
    with pytest.raises(InputError, match="room for 0 tasks of 3 CPUs"):  # no node is large enough
        check_readers(two.model_copy(update={"reader_cpus": 3}), 1, nodes(2, 2, 2, 2, 2, 2))
    assert capsys.readouterr().out == ""
    check_readers(two, 1, nodes(2), grows=True)
    assert "waiting for more CPUs" in capsys.readouterr().out


def test_readers_of_a_pool_need_its_cpus_alone():
    pool = WorkersConfig(count=2, cpus=1, gpus=1, readers=1, reader_labels={"ray.io/node-group": "data"})
    check_readers(pool, 1, nodes(2) + nodes(1, **pool.reader_labels))
    with pytest.raises(InputError, match=r"nodes of ray\.io/node-group: data have room for 0 tasks"):
        check_readers(pool, 1, nodes(2, 8))
    found = choose(pool, REMOTE, [CPU], pool=0.0)
    assert found.tasks == 0 and "0 CPUs are on nodes with `reader_labels`" in found.reason
    assert choose(pool, REMOTE, [{"CPU": 2.0}, CPU], pool=16.0).tasks == 2
    assert choose(pool, REMOTE, [CPU], pool=0.0, grows=True).tasks == 2  # a pool that starts from no node


def test_all_streams_together_fill_half_of_the_object_stores_at_most():
    held = [{"object_store_memory": 4e9, "CPU": 8.0}] * 2 + [{"object_store_memory": 9e9}]  # the head has no readers
    assert store_share(held, 1) == store_share(held, 8) == 384 << 20
    assert store_share(held, 16) * 16 <= 4e9 < store_share(held, 16) * 17
    assert store_share(held, 1000) == store_share([], 1) == 96 << 20  # a few blocks, without which none could read


def test_tasks_take_what_the_configuration_says(monkeypatch):
    import ray

    monkeypatch.setattr(readers_choice, "connect", lambda: None)
    monkeypatch.setattr(ray, "nodes", lambda: nodes(4) + nodes(4, pool="data"))
    given = {"reader_cpus": 2, "reader_reserve_mb": 500, "reader_labels": {"pool": "data"}}
    found = reader_tasks(WorkersConfig(count=8, readers=3, **given), 1)
    assert found.count == 3 and found.store_bytes == 96 << 20
    assert found.options() == {"num_cpus": 2, "memory": 500 * 2**20, "label_selector": {"pool": "data"}}
    assert reader_tasks(WorkersConfig(readers=0), 1).count == 0

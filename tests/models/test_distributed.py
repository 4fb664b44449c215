"""Ranks that agree: what rank 0 sees counts, whatever the others would see on a store that shows them old listings."""

import multiprocessing
import os

import pytest

from sdm_ray.errors import InputError
from sdm_ray.models.distributed import ALONE, Ranks


def _rank(rank, world, port, answers):
    import torch.distributed as dist

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    ranks = Ranks(rank, world)
    finished = ranks.first(lambda: rank == 0)  # the other rank's view of the store is old
    try:
        ranks.first(lambda: (_ for _ in ()).throw(InputError("metrics.json: is missing")))
    except InputError as error:
        answers.put((rank, finished, str(error)))
    dist.destroy_process_group()


def test_rank_0_decides_and_its_errors_are_raised_on_every_rank():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    both = [spawn.Process(target=_rank, args=(rank, 2, port, answers)) for rank in range(2)]
    for each in both:
        each.start()
    found = sorted(answers.get(timeout=120) for _ in both)
    for each in both:
        each.join(60)
    assert found == [(0, True, "metrics.json: is missing"), (1, True, "metrics.json: is missing")]


def test_one_rank_needs_no_group():
    assert ALONE.first(lambda: 7) == 7
    with pytest.raises(InputError):
        ALONE.first(lambda: (_ for _ in ()).throw(InputError("x")))

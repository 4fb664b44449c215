import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from sdm_ray import buffers

MEGABYTE = 1 << 20
ASKS_AGAIN = """
import resource, threading
import numpy as np
from sdm_ray.buffers import keep_freed_memory

def work():
    np.zeros(1000)  # the thread has its arena from here on, as one of Ray's has
    begun.set(), told.wait()
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for sizes in ([100] * 3, [16] * 10):  # megabytes
            held = [np.ones(size << 17) for size in sizes]
            del held
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

begun, told = threading.Event(), threading.Event()
thread = threading.Thread(target=work)
thread.start(), begun.wait()
keep_freed_memory()
told.set(), thread.join()
"""


def test_a_batch_takes_the_memory_of_one_that_nobody_holds(monkeypatch):
    monkeypatch.setattr(buffers, "_batches", [])
    first = buffers.empty((3, MEGABYTE), np.uint8)
    address, row = first.ctypes.data, first[2]
    del first
    other = buffers.empty((3, MEGABYTE), np.uint8)
    assert other.ctypes.data != address  # a row of the first is still held
    del row
    again = buffers.empty((MEGABYTE, 3), np.int8)
    assert again.ctypes.data == address and again.shape == (MEGABYTE, 3) and again.dtype == np.int8
    assert not np.shares_memory(other, again.view(np.uint8))


def test_tensors_hold_it_as_well(monkeypatch):
    import torch

    monkeypatch.setattr(buffers, "_batches", [])
    tensor = torch.from_numpy(buffers.empty((2, MEGABYTE), np.uint8))[1]
    assert buffers.empty((2, MEGABYTE), np.uint8).ctypes.data + MEGABYTE != tensor.data_ptr()


def test_no_more_is_kept_than_allowed(monkeypatch):
    monkeypatch.setattr(buffers, "_batches", [])
    monkeypatch.setattr(buffers, "_BATCHES_BYTES", 8 * MEGABYTE)
    held = [buffers.empty((3 * MEGABYTE,), np.uint8) for _ in range(4)]
    assert len(buffers._batches) == 2
    del held
    larger = buffers.empty((5 * MEGABYTE,), np.uint8)  # makes room: nobody may ever ask for the others' size again
    assert [each.nbytes for each in buffers._batches] == [larger.nbytes]
    assert buffers.empty((10,), np.float32).base is None  # small ones are left to numpy


def test_threads_never_get_the_same_memory(monkeypatch):
    monkeypatch.setattr(buffers, "_batches", [])
    wrong = []

    def work(number: int) -> None:
        for _ in range(50):
            mine = buffers.empty((MEGABYTE,), np.uint8)
            mine[:] = number
            wrong.append(bool((mine != number).any()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(wrong) == 200 and not any(wrong)
    assert len(buffers._batches) <= 8  # a thread asks for the next while it holds one


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is told to")
def test_a_thread_that_began_before_keeps_its_memory_in_the_only_arena():
    new_pages = [
        int(subprocess.run([sys.executable, "-c", ASKS_AGAIN], env=os.environ | env, capture_output=True).stdout)
        for env in ({"MALLOC_ARENA_MAX": "4"}, buffers.ONE_ARENA)
    ]
    assert new_pages[1] < 100 < new_pages[0]

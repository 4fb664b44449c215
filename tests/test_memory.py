import threading

import numpy as np

from sdm_ray import memory

MEGABYTE = 1 << 20


def test_a_batch_takes_the_memory_of_one_that_nobody_holds(monkeypatch):
    monkeypatch.setattr(memory, "_batches", [])
    first = memory.empty((3, MEGABYTE), np.uint8)
    address, row = first.ctypes.data, first[2]
    del first
    other = memory.empty((3, MEGABYTE), np.uint8)
    assert other.ctypes.data != address  # a row of the first is still held
    del row
    again = memory.empty((MEGABYTE, 3), np.int8)
    assert again.ctypes.data == address and again.shape == (MEGABYTE, 3) and again.dtype == np.int8
    assert not np.shares_memory(other, again.view(np.uint8))


def test_tensors_hold_it_as_well(monkeypatch):
    import torch

    monkeypatch.setattr(memory, "_batches", [])
    tensor = torch.from_numpy(memory.empty((2, MEGABYTE), np.uint8))[1]
    assert memory.empty((2, MEGABYTE), np.uint8).ctypes.data + MEGABYTE != tensor.data_ptr()


def test_no_more_is_kept_than_allowed(monkeypatch):
    monkeypatch.setattr(memory, "_batches", [])
    monkeypatch.setattr(memory, "_BATCHES_BYTES", 8 * MEGABYTE)
    held = [memory.empty((3 * MEGABYTE,), np.uint8) for _ in range(4)]
    assert len(memory._batches) == 2
    del held
    larger = memory.empty((5 * MEGABYTE,), np.uint8)  # makes room: nobody may ever ask for the others' size again
    assert [each.nbytes for each in memory._batches] == [larger.nbytes]
    assert memory.empty((10,), np.float32).base is None  # small ones are left to numpy


def test_threads_never_get_the_same_memory(monkeypatch):
    monkeypatch.setattr(memory, "_batches", [])
    wrong = []

    def work(number: int) -> None:
        for _ in range(50):
            mine = memory.empty((MEGABYTE,), np.uint8)
            mine[:] = number
            wrong.append(bool((mine != number).any()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(wrong) == 200 and not any(wrong)
    assert len(memory._batches) <= 8  # a thread asks for the next while it holds one

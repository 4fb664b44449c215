"""What it costs to hand windows of a cube from a task of Ray Data to a rank: microseconds of CPU a window, by step.

    python tests/benchmarks/bench_copies.py

No Ray is started: a task cuts windows into new memory, makes a table of them, and writes it to the object store (a copy
into shared memory); the rank copies each window into its place in a batch. Threads of the rank cut them right there.
"""

import json
import mmap
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from sdm_ray.buffers import keep_freed_memory
from sdm_ray.streams.window_datasource import _table

WINDOWS, SHAPE = 180, (4, 128, 128)  # a block of 24 MB


def each(call: Callable[[], object], repeats: int = 15) -> float:
    """Least CPU time of a call, microseconds a window."""
    call()
    took = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        took.append(time.process_time() - begun)
    return 1e6 * min(took) / WINDOWS


def main() -> None:
    """Print one JSON line per step."""
    keep_freed_memory()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 5000, (WINDOWS, *SHAPE)).astype(np.uint16)
    ids, order, batch = np.arange(WINDOWS), rng.permutation(WINDOWS), np.empty_like(images)
    table = _table(ids, images)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stored = np.frombuffer(sink.getvalue(), np.uint8)
    shared = mmap.mmap(-1, len(stored))
    view = np.frombuffer(shared, np.uint8)

    def scatter() -> None:
        arrived = pa.ipc.open_stream(pa.py_buffer(shared)).read_all()
        windows = (image for chunk in arrived["image"].chunks for image in chunk.to_numpy())
        for place, image in zip(order, windows, strict=True):
            batch[place] = image

    steps = {
        "new memory for windows": lambda: np.empty_like(images).fill(1),
        "a table of them": lambda: _table(ids, images),
        "copy into shared memory": lambda: np.copyto(view, stored),
        "copy into batches": scatter,
    }
    for name, call in steps.items():
        value = float(f"{each(call):.3g}")
        print(json.dumps({"figure": f"windows through Ray Data: {name}", "value": value, "unit": "us a window"}))


if __name__ == "__main__":
    sys.exit(main())

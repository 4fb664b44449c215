"""How much of its local rate a rank's stream keeps where cube and photos lie on an S3 server 20 ms away.

    SDM_RAY_DATA=... python tests/benchmarks/bench_object_store.py [--latency-ms 20] [--side 16384] [--photos 512]

The server runs on this machine and holds each answer back. It takes CPU, so that the stream has one core and the server
another, also while the local disk is read (on Linux); the same is measured without latency. Streams are those of
bench_streams.py, read by threads of the rank, for some seconds each.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import stream_data
from bench_streams import figure, run
from helpers.range_server import served

GOAL = 0.7
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def rates(cube: str, photos: str, count: int) -> dict[str, float]:
    """Windows and photos a second."""
    windows = run("ours", cube=cube, count=count, epochs=2, readers=0)["rate"]
    return {"windows": windows, "photos": run("photo_stream", shards=photos, size=224, epochs=16, readers=0)["rate"]}


def stay_on(core: int) -> None:
    """Keep this thread, and the threads and processes that it starts from now on, on one of two or more cores."""
    if hasattr(os, "sched_setaffinity") and len(CORES) > 1:
        os.sched_setaffinity(0, {CORES[core]})


def main() -> int:
    """0 where the goal holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--side", type=int, default=16384, help="pixels; windows of a smaller cube stay in memory")
    parser.add_argument("--photos", type=int, default=512)
    given = parser.parse_args()
    held = True
    stay_on(1)  # the server
    with tempfile.TemporaryDirectory() as place, served(Path(place)) as server:
        bucket = Path(place) / "streams"
        bucket.mkdir()
        cube, photos = stream_data.cube(bucket, given.side), stream_data.photos(bucket, given.photos, (640, 512))
        count = 5 * (given.side // stream_data.CHUNK) ** 2
        stay_on(0)  # the streams
        local = rates(str(cube), str(photos), count)
        print(f"local disk: {shown(local)}; {time.strftime('%Y-%m-%d')}", flush=True)
        for latency in (0.0, given.latency_ms):
            server.latency_s = latency / 1000
            requests, sent, cpu = server.requests, server.sent, time.process_time()
            found = rates(f"s3://streams/{cube.name}", f"s3://streams/{photos.name}", count)
            moved = f"{server.requests - requests} requests, {(server.sent - sent) / 1e9:.2f} GB"
            print(f"S3 server, {latency:g} ms: {shown(found)}; {moved}, {time.process_time() - cpu:.1f} s of its CPU")
            for name, rate in found.items():
                told = figure(
                    f"{name} from S3, {latency:g} ms away: of the local rate", rate / local[name], "ratio", GOAL
                )
                print(json.dumps(told), flush=True)
                held = held and bool(told["holds"])
    return int(not held)


def shown(found: dict[str, float]) -> str:
    """For people."""
    return ", ".join(f"{rate:.0f} {name}/s" for name, rate in found.items())


if __name__ == "__main__":
    sys.exit(main())

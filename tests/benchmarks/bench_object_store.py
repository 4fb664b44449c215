"""How much of its local rate a rank's stream keeps where cube and photos lie on an S3 server 20 ms away.

    SDM_RAY_DATA=... python tests/benchmarks/bench_object_store.py [--latency-ms 20] [--side 4096] [--photos 512]

The server (moto) runs on this machine, behind a proxy that holds each answer back; it takes CPU from the stream, so the
same is measured without latency. Streams are those of bench_streams.py, read by threads of the rank.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import stream_data
from bench_streams import figure, run
from helpers.proxied_store import store
from upath import UPath

GOAL = 0.7


def rates(cube: str, photos: str, count: int) -> dict[str, float]:
    """Windows and photos a second."""
    windows = run("ours", cube=cube, count=count, epochs=2, readers=0)["rate"]
    return {"windows": windows, "photos": run("photo_stream", shards=photos, size=224, epochs=4, readers=0)["rate"]}


def main() -> int:
    """0 where the goal holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--photos", type=int, default=512)
    given = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory() as place, store("streams") as proxy:
        cube = stream_data.cube(Path(place), given.side)
        photos = stream_data.photos(Path(place), given.photos, (640, 512))
        bucket = UPath("s3://streams")
        for each in (cube, photos):
            bucket.fs.put(str(each), f"streams/{each.name}", recursive=True)
        count = 5 * (given.side // stream_data.CHUNK) ** 2
        local = rates(str(cube), str(photos), count)
        print(f"local disk: {shown(local)}; {time.strftime('%Y-%m-%d')}", flush=True)
        for latency in (0.0, given.latency_ms):
            proxy.latency_s = latency / 1000
            found = rates(f"s3://streams/{cube.name}", f"s3://streams/{photos.name}", count)
            print(f"S3 server, {latency:g} ms: {shown(found)}", flush=True)
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

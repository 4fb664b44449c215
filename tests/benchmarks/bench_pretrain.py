"""The pair losses beside others, and what Ray costs in pretraining.

    python tests/benchmarks/bench_pretrain.py [--runs FOLDER] [--quick]

Losses: one process, one thread. Ray's price: a ResNet-18 at 64 pixels, batch 256, and a location network of 4 x 256,
on EuroSAT patches ($SDM_RAY_DATA); start-up excluded.
"""

import argparse
import json
import sys

import torch
from loss_runs import large, measure
from price_runs import price


def main() -> int:
    """0 where all goals hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs/pretrain", help="folder of the prepared shards")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer, about a minute")
    given = parser.parse_args()
    torch.set_num_threads(1)
    figures = measure(rows=2048, repeats=3) if given.quick else [*measure(rows=8192, repeats=5), *large()]
    figures += price(given.runs, steps=6 if given.quick else 12, rounds=1 if given.quick else 5)
    for each in figures:
        print(json.dumps(each))
    return 0 if all(each["holds"] for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

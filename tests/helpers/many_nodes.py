"""Run as a program: parts of work on a cluster of several small nodes that join and leave; prints what happened."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

# Ray notes the address of the cluster in its folder, where any other start of Ray on the machine would find it.
own_folder = tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp")
os.environ["RAY_TMPDIR"] = own_folder.name

import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from sdm_ray.config import TaskConfig  # noqa: E402
from sdm_ray.errors import InputError  # noqa: E402
from sdm_ray.geo.windows import Tile, Window  # noqa: E402
from sdm_ray.ray_tasks import run_tasks  # noqa: E402
from sdm_ray.tracking import Tracker  # noqa: E402
from sdm_ray.training.engine.config import WorkersConfig  # noqa: E402
from sdm_ray.training.engine.launch import launch  # noqa: E402


def parts(count):
    return [Tile(str(number), Window(0, 0, 1, 1)) for number in range(count)]


def here(seconds, part):
    time.sleep(seconds)
    return {
        "node": ray.get_runtime_context().get_node_id(),
        "pid": os.getpid(),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def grows(cluster):
    """A head without CPUs; nodes join once parts are waiting, and one leaves again."""
    nodes, found = [], []
    ended = run_tasks(here, 0.3, parts(48), TaskConfig())
    joining = (12, 24)
    nodes.append(cluster.add_node(num_cpus=2))
    for number, (part, result, problem) in enumerate(ended):
        found.append({"part": part.id, "problem": problem, **(result or {})})
        if number in joining:
            nodes.append(cluster.add_node(num_cpus=2))
        if number == 30:
            cluster.remove_node(nodes.pop(0), allow_graceful=False)
    return found


def gpus(cluster):
    """A node with two (pretended) GPUs: each actor keeps the one that it began with."""
    cluster.add_node(num_cpus=2, num_gpus=2)
    cluster.wait_for_nodes()
    return [result for _, result, _ in run_tasks(here, 0.05, parts(30), TaskConfig(cpus=0.5, gpus=1))]


def tracked(cluster):
    """Training with figures in a file of one machine, where ranks run on several."""
    job = type("Job", (), {"output": Path("out"), "fingerprint": "f", "resumed": True})
    job.tracker = Tracker("sqlite:////tmp/mlflow.db", "run")
    try:
        launch(lambda ranks: iter(()), job, WorkersConfig(count=2))
    except InputError as error:
        return str(error)


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        found = {"grows": grows(cluster), "gpus": gpus(cluster), "tracked": tracked(cluster)}
        Path(sys.argv[1]).write_text(json.dumps(found))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()

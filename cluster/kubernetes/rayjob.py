"""Print the RayJob of one job, to be given to `kubectl create -f -`.

    python cluster/kubernetes/rayjob.py map /data/europe/map.yaml
    python cluster/kubernetes/rayjob.py map /data/europe/map.yaml --own-cluster sdm-ray:0.2.0-cuda --set tile=512

The first runs on the cluster of `raycluster.yaml`; with `--own-cluster` KubeRay makes such a cluster for this job
alone, takes it down afterwards, and makes another where the job failed: the job continues what it finds.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
from sdm_ray.jobs import JOBS  # noqa: E402 - the package of this checkout comes first

_RETRIES = 3  # clusters of its own after the first
_KEPT_S = 600  # that its pods and logs can be looked at afterwards


def rayjob(name: str, config: str, overrides: list[str], image: str | None = None) -> dict[str, Any]:
    """The RayJob of a job.

    Args:
        name: of the job, as `sdm-ray` has it.
        config: its YAML file, as the head sees it.
        overrides: `key=value`, in place of values of the file.
        image: of the cluster that is made for this job; None for the cluster that is there.
    """
    spec: dict[str, Any] = {"entrypoint": shlex.join(["sdm-ray", name, config, *overrides])}
    if image is not None:
        cluster = (HERE / "raycluster.yaml").read_text().replace("image: sdm-ray\n", f"image: {image}\n")
        spec |= {
            "rayClusterSpec": yaml.safe_load(cluster)["spec"],
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": _KEPT_S,
            "backoffLimit": _RETRIES,
        }
    else:
        spec |= {"clusterSelector": {"ray.io/cluster": "sdm-ray"}}
    labels = {"app.kubernetes.io/name": "sdm-ray", "sdm-ray/job": name}
    metadata = {"generateName": f"sdm-ray-{name}-", "labels": labels}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


def main() -> None:
    """Print one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=sorted(JOBS))
    parser.add_argument("config", help="YAML file, as the head sees it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a value in place of the file's"
    )
    parser.add_argument("--own-cluster", metavar="IMAGE", help="make a cluster of this image for this job alone")
    given = parser.parse_args()
    made = rayjob(given.job, given.config, given.set, given.own_cluster)
    print(yaml.safe_dump(made, sort_keys=False), end="")


if __name__ == "__main__":
    main()

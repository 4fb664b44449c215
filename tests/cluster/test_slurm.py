"""The Slurm script, run whole against a Slurm and an Apptainer that only note what they were asked for."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm" / "sdm-ray.sbatch"
SRUN = """#!/usr/bin/env bash
echo "srun $*" >> "$CALLS"
case "$*" in
    *"ray start"*) exec sleep 60 ;;
    *"ray status"*) exit 0 ;;
    *"sdm-ray map"*) echo "address $RAY_ADDRESS token ${#RAY_AUTH_TOKEN}" >> "$CALLS"; exec $DRIVER ;;
esac
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >> "$CALLS"
[ "$1" = show ] && printf 'n1\\nn2\\nn3\\n'
exit 0
"""


@pytest.fixture
def slurm(tmp_path):
    """Starts the script with a driver; gives the process and the file of calls."""
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()

    def start(driver, *words, **extra):
        given = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_CPUS_PER_TASK": "8"}
        given |= {"SLURM_GPUS_ON_NODE": "4", "SDM_RAY_RUNS": "/project/runs", "CALLS": str(calls), "DRIVER": driver}
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **given, **extra}
        return subprocess.Popen(
            ["bash", str(SCRIPT), *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ), calls

    return start


def test_a_job_runs_on_the_cluster_that_its_nodes_form_and_ends_with_its_status(slurm):
    process, calls = slurm("false", "map", "map.yaml", "tile=512")
    process.communicate(timeout=60)
    assert process.returncode == 1
    told = calls.read_text()
    starts = re.findall(r"--nodelist=(\w+) apptainer exec --nv .*? ray start (.*)", told)
    assert [node for node, _ in sorted(starts)] == ["n1", "n2", "n3"]
    assert all("--num-cpus=8 --num-gpus=4" in options for _, options in starts)
    port = 20000 + 4242
    joined = {node: options for node, options in starts}
    assert f"--head --node-ip-address=n1 --port={port}" in joined["n1"] and f"--address=n1:{port}" in joined["n3"]
    assert f"address n1:{port} token 64" in told and "sdm-ray map map.yaml tile=512" in told
    assert "requeue" not in told


def test_before_the_time_limit_it_goes_back_into_the_queue(slurm):
    process, calls = slurm("sleep 60", "map", "map.yaml")
    for _ in range(300):
        if "address " in calls.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "goes back into the queue" in out
    assert calls.read_text().count("scontrol requeue 4242") == 1


def test_nodes_without_gpus_start_without_them(slurm):
    process, calls = slurm("true", "map", "map.yaml", SLURM_GPUS_ON_NODE="0")
    process.communicate(timeout=60)
    assert process.returncode == 0 and "--nv" not in calls.read_text() and "--num-gpus=0" in calls.read_text()


def test_what_is_missing_is_one_line(slurm):
    process, _ = slurm("true", "map")
    assert process.communicate(timeout=60)[0].startswith("usage: sbatch") and process.returncode == 2
    process, _ = slurm("true", "map", "map.yaml", SDM_RAY_RUNS="")
    assert "names no folder for runs" in process.communicate(timeout=60)[0] and process.returncode != 0


def test_the_script_passes_the_linter():
    found = subprocess.run([Path(sys.executable).parent / "shellcheck", SCRIPT], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout

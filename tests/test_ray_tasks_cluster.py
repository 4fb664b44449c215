"""Parts of work on several small nodes of one machine, in a process of its own beside the session's Ray."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sdm_ray

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def found(tmp_path_factory, ray_cluster):
    out = tmp_path_factory.mktemp("nodes") / "found.json"
    program = Path(__file__).parent / "helpers" / "many_nodes.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(sdm_ray.__file__).parents[1])}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, str(program), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(out.read_text())


def test_nodes_that_join_are_used_and_one_that_leaves_costs_no_part(found):
    ended = found["grows"]
    assert sorted(int(each["part"]) for each in ended) == list(range(48))
    assert [each["problem"] for each in ended if each["problem"]] == []
    nodes = [each["node"] for each in ended]
    assert len(set(nodes[:12])) == 1  # the head has no CPUs
    assert len(set(nodes)) >= 2 and len(set(nodes[40:]) - set(nodes[:12])) >= 1


def test_an_actor_keeps_the_gpu_that_it_began_with(found):
    held = {(each["pid"], each["gpu"]) for each in found["gpus"]}
    assert len(held) == len({pid for pid, _ in held}) == 2
    assert {gpu for _, gpu in held} == {"0", "1"}


def test_training_on_several_nodes_refuses_a_file_of_one_machine_for_its_figures(found):
    assert found["tracked"].startswith("tracking.uri: sqlite:")

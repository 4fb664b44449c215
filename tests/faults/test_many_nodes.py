"""Parts of work on several small nodes of one machine, in a process of its own."""

import json
from pathlib import Path

import pytest
from helpers.many_nodes import run_program

pytestmark = pytest.mark.xdist_group("nodes")


@pytest.fixture(scope="module")
def found():
    said = run_program(Path(__file__).with_name("many_nodes.py")).splitlines()
    return json.loads(next(line for line in reversed(said) if line.startswith("{")))  # Ray may speak after it


def at_once(ended):
    """Most parts that ran at one time."""
    changes = sorted([(each["begun"], 1) for each in ended] + [(each["ended"], -1) for each in ended])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


def test_nodes_that_join_are_used_and_one_that_leaves_costs_no_part(found):
    ended = found["grows"]
    assert sorted(int(each["part"]) for each in ended) == list(range(40))
    assert [each["problem"] for each in ended if each["problem"]] == []
    nodes = [each["node"] for each in ended]
    assert len(set(nodes[:6])) == 1  # the head has no CPUs
    assert len(set(nodes)) == 3 and nodes[0] not in nodes[-8:]


def test_the_work_grows_with_the_cluster(found):
    assert at_once(found["grows"][:6]) == 2
    assert at_once(found["grows"]) > 2  # what one node has CPUs for


def test_an_actor_keeps_the_process_and_the_gpu_that_it_began_with(found):
    ended = found["gpus"]
    assert sorted(int(each["part"]) for each in ended if not each["problem"]) == list(range(40))
    held = {(each["pid"], each["gpu"]) for each in ended}
    assert len(held) == len({pid for pid, _ in held}) == 2 and {gpu for _, gpu in held} == {"0", "1"}


def test_an_error_of_the_work_is_one_line_at_the_driver_and_a_traceback_in_the_log_of_the_worker(found):
    expected = {str(number): f"ArithmeticError: the part {number} cannot be done" for number in range(3)}
    assert found["fails"]["problems"] == expected
    assert sorted(found["fails"]["logs"]) == ["0", "1", "2"]
    for text in found["fails"]["logs"].values():
        assert "in stumble" in text and "as its second line says" in text


def test_readers_run_on_the_nodes_of_their_pool(found):
    assert len(found["pool"]) == 64 and {each["pool"] for each in found["pool"]} == {"data"}

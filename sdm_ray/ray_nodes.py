"""What the nodes of a cluster can import, asked before they are given work that would fail part after part."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sdm_ray.errors import InputError
from sdm_ray.version import __version__

_ANSWER_S = 60.0  # within which a node says what its workers import


class Packages:
    """Asks each node once which version of this package its workers import.

    Args:
        known: ids of nodes that need not be asked.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = set(known)
        self._asked: dict[ray.ObjectRef, str] = {}  # -> address of the node

    def look(self, nodes: Sequence[Mapping[str, Any]], wait_s: float = 0.0) -> dict[str, str]:
        """Ask the nodes that are new, and see what those have answered that were asked.

        Args:
            nodes: of the cluster, as `ray.nodes()` tells them.
            wait_s: seconds to wait for answers, at most.

        Returns:
            Address of each node that answered now -> the version.

        Raises:
            InputError: a node's workers lack the package, or have another version of it.
        """
        for node in nodes:
            if node["Alive"] and node["NodeID"] not in self._known:
                self._known.add(node["NodeID"])
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(_imported()).options(num_cpus=0, scheduling_strategy=there, name="check sdm_ray")
                self._asked[task.remote()] = node["NodeManagerAddress"]
        if not self._asked:
            return {}
        ended, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=wait_s)
        found = {}
        for each in ended:
            address = self._asked.pop(each)
            with contextlib.suppress(ray.exceptions.RayError):  # the node has just left
                found[address] = ray.get(each)
        require_package(found)
        return found

    def stop(self) -> None:
        """Ask no more."""
        for each in self._asked:
            ray.cancel(each)
        self._asked.clear()


def require_package_on_nodes() -> dict[str, str]:
    """See that workers of all nodes have this package; returns the version by address, of those that answer in time.

    Raises:
        InputError: as `Packages.look`.
    """
    packages = Packages()
    found = packages.look(ray.nodes(), _ANSWER_S)
    packages.stop()
    return found


def require_package(versions: Mapping[str, str]) -> None:
    """See that workers everywhere have this package.

    Args:
        versions: address of each node -> the version that its workers import, or why they cannot.

    Raises:
        InputError: a node's workers lack the package, or have another version of it.
    """
    other = {node: found for node, found in versions.items() if found != __version__}
    if other:
        node, found = next(iter(other.items()))
        raise InputError(
            f"{len(other)} of {len(versions)} nodes do not have sdm_ray {__version__} ({node}: {found}); expected it in"
            " the image or environment of every node, or in the folder that `ray job submit --working-dir` sends"
        )


def _imported() -> Any:  # noqa: ANN401 - a function for Ray
    def imported() -> str:  # sent by value: the package may be missing
        try:
            from sdm_ray.version import __version__ as found

            return str(found)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    return imported

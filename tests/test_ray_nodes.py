import pytest
import ray

from sdm_ray import ray_nodes
from sdm_ray.errors import InputError
from sdm_ray.ray_nodes import Packages, require_package, require_package_on_nodes
from sdm_ray.version import __version__


def test_nodes_without_the_package_or_with_another_version_are_one_line():
    own = __version__
    require_package({"10.0.0.1": own, "10.0.0.2": own})
    missing = {"10.0.0.1": own, "10.0.0.2": "ModuleNotFoundError: No module named 'sdm_ray'", "10.0.0.3": "0.1"}
    with pytest.raises(InputError, match=r"^2 of 3 nodes do not have sdm_ray .* \(10\.0\.0\.2: ModuleNotFoundError: "):
        require_package(missing)


def test_workers_say_which_version_they_import(ray_cluster):
    assert set(require_package_on_nodes().values()) == {__version__}


def test_a_node_that_joins_later_is_asked_once(ray_cluster, monkeypatch):
    nodes = ray.nodes()
    assert Packages(node["NodeID"] for node in nodes).look(nodes, 60) == {}
    packages = Packages()
    assert list(packages.look(nodes, 60).values()) == [__version__]
    assert packages.look(nodes, 60) == {}
    monkeypatch.setattr(ray_nodes, "_imported", lambda: lambda: "ModuleNotFoundError: No module named 'sdm_ray'")
    with pytest.raises(InputError, match=r"1 of 1 nodes do not have sdm_ray .* No module named"):
        Packages().look(nodes, 60)

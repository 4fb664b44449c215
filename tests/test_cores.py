"""Threads by what a process may use: a pod with a quota of 2 CPUs on a machine of 64 cores has 2."""

import os

from sdm_ray import cores


def groups(folder, own, **files):
    (folder / "own").write_text(own)
    for name, text in files.items():
        place = folder / "groups" / name.replace("__", "/").replace("_DOT_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return cores.cpu_quota(folder / "groups", folder / "own")


def test_the_quota_of_a_container_is_read(tmp_path):
    assert groups(tmp_path, "0::/\n", cpu_DOT_max="250000 100000\n") == 2.5


def test_the_least_quota_of_a_group_and_those_above_it_counts(tmp_path):
    files = {
        "pods__cpu_DOT_max": "400000 100000",
        "pods__one__cpu_DOT_max": "max 100000",
        "cpu_DOT_max": "800000 100000",
    }
    assert groups(tmp_path, "0::/pods/one\n", **files) == 4


def test_the_older_kind_of_group_is_read(tmp_path):
    files = {"cpu__a__cpu_DOT_cfs_quota_us": "150000\n", "cpu__a__cpu_DOT_cfs_period_us": "100000\n"}
    assert groups(tmp_path, "5:memory:/b\n3:cpu:/a\n0::/\n", **files) == 1.5
    files["cpu__a__cpu_DOT_cfs_quota_us"] = "-1\n"
    assert groups(tmp_path, "3:cpu:/a\n", **files) is None


def test_without_a_quota_or_where_nothing_can_be_read_there_is_none(tmp_path):
    assert groups(tmp_path, "0::/\n", cpu_DOT_max="max 100000") is None
    assert cores.cpu_quota(tmp_path / "nowhere", tmp_path / "no-file") is None


def test_cores_are_the_fewest_of_what_is_counted_bound_and_granted(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))
    for quota, expected in ((None, 32), (2.5, 3), (0.1, 1), (100.0, 32)):
        monkeypatch.setattr(cores, "cpu_quota", lambda *_, quota=quota: quota)
        cores.usable_cores.cache_clear()
        assert cores.usable_cores() == expected
    cores.usable_cores.cache_clear()


def test_no_module_counts_the_cores_of_the_whole_machine():
    package = cores.Path(cores.__file__).parent
    counted = [file for file in package.rglob("*.py") if "cpu_count(" in file.read_text() and file.name != "cores.py"]
    assert counted == []

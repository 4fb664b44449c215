"""How many CPU cores this process may use: fewer than the machine has, in a container or under Slurm."""

import os
from functools import lru_cache
from pathlib import Path

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@lru_cache(maxsize=1)
def usable_cores() -> int:
    """Cores for the threads of this process, at least 1.

    The fewest of what Python counts (`PYTHON_CPU_COUNT` included, from Python 3.13 on), the cores that the process is
    bound to, and the CPU quota of its control group, rounded up: `os.cpu_count()` counts those of the whole machine.
    """
    counted = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else counted
    quota = cpu_quota(_CGROUPS, _OWN)
    return max(1, min(counted, bound, counted if quota is None else -int(-quota // 1)))


def cpu_quota(cgroups: Path, own: Path) -> float | None:
    """CPUs that control groups grant, the least of the group's own quota and those above it; None without any.

    Args:
        cgroups: where control groups are mounted.
        own: the file that names the group of this process.
    """
    found = []
    for line in _text(own).splitlines() or ["0::/"]:
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = cgroups / controllers if controllers else cgroups
        group = top / path.lstrip("/")
        for folder in (group, *group.parents) if group.is_relative_to(top) else (top,):
            found += [_version_2(folder), _version_1(folder)]
            if folder == top:
                break
    return min((quota for quota in found if quota is not None), default=None)


def _version_2(folder: Path) -> float | None:
    words = _text(folder / "cpu.max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0] != "max" else None


def _version_1(folder: Path) -> float | None:
    quota, period = _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""

"""Connect to Ray: a cluster where `RAY_ADDRESS` names one, else this machine."""

import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from sdm_ray.buffers import ONE_ARENA
from sdm_ray.errors import InputError

_LOCAL_OBJECT_STORE = 1 << 30  # bytes; the batches under way are far smaller than Ray's default share of memory
_SOCKET_PATH = 107  # bytes that the system takes for the path of a socket
_SESSION_PATH = len("/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store.1")
_STARTS, _PAUSE_S = 2, 10  # a busy machine may not start Ray's processes within the 30 s that Ray itself waits

RESTING = {
    "LOG_NAME_UPDATE_INTERVAL_S": "60",  # of looking for new logs, with
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",  # however few there are
    "REPORTER_UPDATE_INTERVAL_MS": "60000",  # of measuring the machine for the dashboard
    "AUTOSCALER_UPDATE_INTERVAL_S": "60",  # of asking whether the cluster should grow
}
"""Ray's periodic work that serves nobody on one machine and would take time from a training that uses all cores."""


def connect() -> None:
    """Start or join Ray once per process.

    With `RAY_ADDRESS` set (as `ray job submit` does) the driver joins that cluster; otherwise Ray starts here.

    Raises:
        InputError: Ray did not start, the folder for temporary files has too long a path for its sockets, or a node
            lacks this package.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    import ray

    if ray.is_initialized():
        return
    # Ray warns that a new cluster asks for a token; whoever starts it here has it.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    # What workers print stays in Ray's logs: jobs report through the driver.
    quiet: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if os.environ.get("RAY_ADDRESS"):
        wanted = {name: value for name, value in ONE_ARENA.items() if name not in os.environ}
        _init(runtime_env={"env_vars": wanted}, **quiet)
        from sdm_ray.ray_nodes import require_package_on_nodes

        require_package_on_nodes()
    else:
        # Workers inherit it, and begin sooner than with an environment of their own.
        for name, value in (ONE_ARENA | RESTING).items():
            os.environ.setdefault(name, value)
        # "local": or Ray would join a cluster that somebody started here, or look for one that is gone.
        local = {"address": "local", "include_dashboard": False, "object_store_memory": _LOCAL_OBJECT_STORE}
        _init(_temp_dir=_session_folder(), **local, **quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)


def _init(**settings: Any) -> None:  # noqa: ANN401 - of ray.init
    """Start or join Ray, a second time where the machine was too busy for the first."""
    import ray

    for attempt in range(1, _STARTS + 1):
        try:
            ray.init(**settings)
            return
        except Exception as error:
            ray.shutdown()
            if attempt == _STARTS:
                line = next(iter(str(error).strip().splitlines()), type(error).__name__)
                address = os.environ.get("RAY_ADDRESS")
                what = f"RAY_ADDRESS: no cluster at {address}" if address else "Ray did not start on this machine"
                raise InputError(f"{what}, tried {_STARTS} times ({line})") from None
            time.sleep(_PAUSE_S)


def _session_folder() -> str | None:
    """Where Ray keeps its sockets: None for its own choice, a short path where `TMPDIR` is too long for them.

    Raises:
        InputError: no folder with a short path can be written to.
    """
    default = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(default)) + _SESSION_PATH <= _SOCKET_PATH:
        return None
    short = Path("/tmp")
    if os.access(short, os.W_OK):
        return str(short / "ray")
    raise InputError(f"TMPDIR: {default} is too long a path for Ray's sockets; expected a shorter one")

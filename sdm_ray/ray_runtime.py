"""Connect to Ray: a cluster where `RAY_ADDRESS` names one, else this machine."""

import logging
import os
from typing import Any

from sdm_ray.buffers import ONE_ARENA

_LOCAL_OBJECT_STORE = 1 << 30  # bytes; the batches under way are far smaller than Ray's default share of memory

RESTING = {
    "LOG_NAME_UPDATE_INTERVAL_S": "60",  # of looking for new logs, with
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",  # however few there are
    "REPORTER_UPDATE_INTERVAL_MS": "60000",  # of measuring the machine for the dashboard
    "AUTOSCALER_UPDATE_INTERVAL_S": "60",  # of asking whether the cluster should grow
}
"""What a Ray of one machine would do every few seconds for nobody, beside a training that has all its cores."""


def connect() -> None:
    """Start or join Ray once per process.

    With `RAY_ADDRESS` set (as `ray job submit` does) the driver joins that cluster; otherwise Ray starts here.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    import ray

    if ray.is_initialized():
        return
    # That a new cluster asks for a token is of no concern to the one who starts and uses it.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    # What workers print stays in Ray's logs: jobs say what a person needs through the driver.
    quiet: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if os.environ.get("RAY_ADDRESS"):
        wanted = {name: value for name, value in ONE_ARENA.items() if name not in os.environ}
        ray.init(runtime_env={"env_vars": wanted}, **quiet)
    else:
        # Workers inherit it, and begin sooner than with an environment of their own.
        for name, value in (ONE_ARENA | RESTING).items():
            os.environ.setdefault(name, value)
        ray.init(include_dashboard=False, object_store_memory=_LOCAL_OBJECT_STORE, **quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)

"""Metrics of a running job for Prometheus, which Ray's agents of each node export; none where Ray does not run.

`cluster/monitoring/grafana.json` draws them. Names get Ray's prefix `ray_` there.
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

METRICS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "sdm_ray_samples": ("counter", "Rows that were trained on.", ("fit",)),
    "sdm_ray_steps": ("counter", "Steps of training.", ("fit",)),
    "sdm_ray_batch_bytes": ("counter", "Bytes of the batches that were trained on.", ("fit",)),
    "sdm_ray_seconds": ("counter", "Seconds of training, by what they went to: data or steps.", ("fit", "spent_on")),
    "sdm_ray_parts": ("counter", "Parts of work that ended, tiles for example: done or failed.", ("work", "outcome")),
    "sdm_ray_parts_under_way": ("gauge", "Parts of work that run or wait for a worker.", ("work",)),
    "sdm_ray_parts_left": ("gauge", "Parts of work that have not ended.", ("work",)),
}
"""Name -> kind, description and tags of each metric."""


def count(name: str, amount: float, **tags: str) -> None:
    """Add to a counter."""
    if amount > 0 and _running():
        _metric(name).inc(amount, tags)


def gauge(name: str, value: float, **tags: str) -> None:
    """Set a gauge."""
    if _running():
        _metric(name).set(value, tags)


def _running() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(getattr(ray, "is_initialized", bool)())


@lru_cache(maxsize=len(METRICS))
def _metric(name: str) -> Any:  # noqa: ANN401 - a metric of Ray
    from ray.util import metrics

    kind, about, tags = METRICS[name]
    return {"counter": metrics.Counter, "gauge": metrics.Gauge}[kind](name, description=about, tag_keys=tags)

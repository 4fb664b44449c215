"""Species maps of a continent from satellite tiles and field photos."""

import importlib
import os
from typing import TYPE_CHECKING, Any

from sdm_ray.version import __version__

if TYPE_CHECKING:
    from sdm_ray.predictor import load_model
    from sdm_ray.viewer.notebook import show

__all__ = ["__version__", "load_model", "show"]


_MODULES = {"load_model": "sdm_ray.predictor", "show": "sdm_ray.viewer.notebook"}

# Ray reads this when it is first imported: a driver started by `uv run` would otherwise have every worker build an
# environment of its own.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    """A function of `__all__`, once it is asked for: torch takes seconds to import."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)

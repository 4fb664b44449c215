"""Species maps of a continent from satellite tiles and field photos."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdm_ray.predictor import load_model

__all__ = ["load_model"]

# Ray reads this when it is first imported: a driver started by `uv run` would otherwise have every worker build an
# environment of its own.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    """`load_model`, once it is asked for: torch takes seconds to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sdm_ray import predictor

    return getattr(predictor, name)

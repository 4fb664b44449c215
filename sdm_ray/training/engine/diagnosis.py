"""Names the rows that may have made a loss not finite."""

import numpy as np

from sdm_ray.batch import Array, Batch


def suspects(batch: dict[str, Batch[Array]]) -> str:
    """Which rows of a batch may be the cause: those with values that are not finite, else all."""
    for name, part in batch.items():
        for key, values in part.items():
            if values.dtype.kind == "f" and not key.startswith("series_"):  # NaN where nothing was measured
                bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
                if bad.any():
                    return f"{name}: `{key}` is not finite at places {_few(part['place'][bad])}"
    places = "; ".join(f"{name}: places {_few(part['place'])}" for name, part in batch.items() if "place" in part)
    return f"its rows are finite ({places}): lower optim.lr"


def _few(places: np.ndarray) -> str:
    shown = ", ".join(str(place) for place in places[:8])
    return f"{shown}, … ({len(places)} in all)" if len(places) > 8 else shown

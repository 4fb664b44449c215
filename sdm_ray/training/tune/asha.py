"""Which trials of a sweep are stopped early. Imports Ray Tune: only its driver needs this."""

from typing import Any

import numpy as np
from ray.tune.schedulers import FIFOScheduler, TrialScheduler


class Halving(FIFOScheduler):
    """Asynchronous successive halving: at each of some levels, a trial goes on if it is among the best so far.

    That is ASHA (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning"), of which the distance
    between levels and the share that goes on need not be the same number, as they are in Ray's own. Where a search
    suggests ever better trials, many pass a level that was set by those before them: more levels stop more of them.

    Args:
        first: epoch of the first level; each further one lies twice as far.
        epochs: of a trial that is not stopped.
        reduction: one of so many trials goes on.
    """

    def __init__(self, first: int, epochs: int, reduction: int) -> None:
        super().__init__()
        self._share = 1 / reduction
        self._scores: dict[int, list[float]] = {}
        while first < epochs:
            self._scores[first] = []
            first *= 2

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Whether a trial goes on after what it has just reported."""
        before = self._scores.get(result["epoch"])
        if before is None:
            return str(TrialScheduler.CONTINUE)
        score = result[self.metric]
        epochs = not before or score >= np.quantile(before, 1 - self._share)
        if np.isfinite(score):
            before.append(score)
        return str(TrialScheduler.CONTINUE if epochs else TrialScheduler.STOP)

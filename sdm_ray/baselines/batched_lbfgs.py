"""Many smooth convex functions minimised side by side, each by an L-BFGS of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

Functions = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points (D, A), numbers of functions (A,)) -> their values (A,) and gradients (D, A)."""

MEMORY = 10
"""Steps of each function that are remembered."""

_ENOUGH = 1e-4  # of the fall that the slope promises (Armijo's condition)
_SHORTER = 0.3


def minimise(functions: Functions, start: Tensor, tolerance: float, *, most: int = 200) -> Tensor:
    """Where each of S functions is least, (D, S), by L-BFGS (Nocedal & Wright 2006, Numerical Optimization, 7.2).

    All functions are evaluated at once, each at a point of its own: some begin a new step while others try a shorter
    one. A function that has come to its end is not evaluated again.

    Args:
        functions: what is minimised.
        start: where to begin, (D, S).
        tolerance: a function that falls by no more than this is at its end.
        most: evaluations of all functions together.
    """
    found, which = start.clone(), torch.arange(start.shape[1])
    point = start
    value, gradient = functions(point, which)
    curvature = _Curvature(*start.shape)
    length = 1 / gradient.abs().sum(0).clamp(min=1)
    direction = -gradient
    for _ in range(most - 1):
        step = length * direction
        new_value, new_gradient = functions(point + step, which)
        promised = -(gradient * step).sum(0)
        falls = new_value <= value - _ENOUGH * promised
        ended = torch.where(falls, value - new_value, promised) <= tolerance
        curvature.learn(torch.where(falls, step, 0), torch.where(falls, new_gradient - gradient, 0))
        point = torch.where(falls, point + step, point)
        value, gradient = torch.where(falls, new_value, value), torch.where(falls, new_gradient, gradient)
        direction = torch.where(falls, -curvature.solve(gradient), direction)
        length = torch.where(falls, 1, _SHORTER * length)
        found[:, which] = point
        if ended.any():
            on = ~ended
            which, point, gradient, direction = which[on], point[:, on], gradient[:, on], direction[:, on]
            value, length = value[on], length[on]
            curvature.keep(on)
        if not len(which):
            break
    return found


class _Curvature:
    """The last steps of some functions and what the gradients did, which tell of second derivatives.

    Args:
        dimensions: of a point.
        functions: how many.
    """

    def __init__(self, dimensions: int, functions: int) -> None:
        self._steps = torch.zeros(MEMORY, dimensions, functions)
        self._changes = torch.zeros(MEMORY, dimensions, functions)
        self._inverse = torch.zeros(MEMORY, functions)  # of step times change; 0 where there is nothing to learn
        self._scale = torch.ones(functions)
        self._newest = -1

    def learn(self, step: Tensor, change: Tensor) -> None:
        """Steps and changes of gradients, (D, A); zero where a function made none."""
        self._newest = (self._newest + 1) % MEMORY
        product, square = (step * change).sum(0), (change**2).sum(0)
        tells = product > 1e-12 * square
        self._steps[self._newest], self._changes[self._newest] = step, change
        self._inverse[self._newest] = torch.where(tells, 1 / product, 0)
        self._scale = torch.where(tells, product / square, self._scale)

    def solve(self, gradient: Tensor) -> Tensor:
        """The inverse second derivatives times (D, A), by the two loops of L-BFGS."""
        order = [(self._newest - age) % MEMORY for age in range(MEMORY)]  # the newest first
        found, shares = gradient.clone(), {}
        for i in order:
            shares[i] = self._inverse[i] * (self._steps[i] * found).sum(0)
            found -= shares[i] * self._changes[i]
        found *= self._scale
        for i in reversed(order):
            found += (shares[i] - self._inverse[i] * (self._changes[i] * found).sum(0)) * self._steps[i]
        return found

    def keep(self, which: Tensor) -> None:
        """Forget all functions but these, (A,) of bool."""
        self._steps, self._changes = self._steps[:, :, which], self._changes[:, :, which]
        self._inverse, self._scale = self._inverse[:, which], self._scale[which]

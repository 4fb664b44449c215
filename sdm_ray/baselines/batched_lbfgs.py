"""L-BFGS for many smooth convex functions at once, each with its own steps and curvature."""

from collections.abc import Callable

import torch
from torch import Tensor

Functions = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points (D, A), indices of functions (A,)) -> values (A,) and gradients (D, A)."""

MEMORY = 10
"""Steps that each function's curvature is estimated from."""

_ARMIJO = 1e-4  # a step is accepted if the value falls by this share of what the gradient predicts
_SHRINK = 0.3  # a rejected step is tried again so much shorter


def minimise(functions: Functions, start: Tensor, tolerance: float, *, most: int = 200) -> Tensor:
    """Minimisers (D, S) of S functions by L-BFGS (Nocedal & Wright 2006, Numerical Optimization, 7.2).

    All functions are evaluated at once, each at its own point: some take a new step while others try a shorter one.
    A function that has converged is not evaluated again.

    Args:
        functions: to minimise.
        start: initial points, (D, S).
        tolerance: a function whose value falls by no more than this has converged.
        most: most evaluations of all functions.
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
        predicted = -(gradient * step).sum(0)
        falls = new_value <= value - _ARMIJO * predicted
        converged = torch.where(falls, value - new_value, predicted) <= tolerance
        curvature.update(torch.where(falls, step, 0), torch.where(falls, new_gradient - gradient, 0))
        point = torch.where(falls, point + step, point)
        value, gradient = torch.where(falls, new_value, value), torch.where(falls, new_gradient, gradient)
        direction = torch.where(falls, -curvature.solve(gradient), direction)
        length = torch.where(falls, 1, _SHRINK * length)
        found[:, which] = point
        if converged.any():
            on = ~converged
            which, point, gradient, direction = which[on], point[:, on], gradient[:, on], direction[:, on]
            value, length = value[on], length[on]
            curvature.keep(on)
        if not len(which):
            break
    return found


class _Curvature:
    """The last steps of each function and the changes of its gradient, which estimate its second derivatives.

    Args:
        dimensions: of a point.
        functions: number of functions.
    """

    def __init__(self, dimensions: int, functions: int) -> None:
        self._steps = torch.zeros(MEMORY, dimensions, functions)
        self._changes = torch.zeros(MEMORY, dimensions, functions)
        self._inverse = torch.zeros(MEMORY, functions)  # of step times change; 0 where that is not positive
        self._scale = torch.ones(functions)
        self._newest = -1

    def update(self, step: Tensor, change: Tensor) -> None:
        """Add steps and changes of gradients, (D, A), zero for a function that took no step."""
        self._newest = (self._newest + 1) % MEMORY
        product, square = (step * change).sum(0), (change**2).sum(0)
        usable = product > 1e-12 * square
        self._steps[self._newest], self._changes[self._newest] = step, change
        self._inverse[self._newest] = torch.where(usable, 1 / product, 0)
        self._scale = torch.where(usable, product / square, self._scale)

    def solve(self, gradient: Tensor) -> Tensor:
        """The inverse Hessians times gradients (D, A), by the two-loop recursion."""
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
        """Keep some of the functions, a mask (A,)."""
        self._steps, self._changes = self._steps[:, :, which], self._changes[:, :, which]
        self._inverse, self._scale = self._inverse[:, which], self._scale[which]

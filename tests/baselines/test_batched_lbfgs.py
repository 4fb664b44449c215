"""Many convex functions minimised at once, compared with SciPy one by one."""

import numpy as np
import torch
from scipy.optimize import minimize

from sdm_ray.baselines.batched_lbfgs import minimise

CENTRES = torch.tensor([[3.0, -1.0, 40.0], [0.5, 2.0, -60.0]])
STEEP = torch.tensor([1.0, 30.0, 0.2])


def walls(point, which):
    """Sums of exp(steep * d) + exp(-steep * d) + d^2 of the distances to the centres; far off they overflow."""
    away, steep = point - CENTRES[:, which], STEEP[which]
    up, down = torch.exp(steep * away), torch.exp(-steep * away)
    return (up + down + away**2).sum(0), steep * (up - down) + 2 * away


def test_each_finds_its_own_end_however_steep():
    found = minimise(walls, CENTRES + torch.tensor([[1.5, 0.4, 9.0], [-1.5, -0.4, -9.0]]), 1e-7)
    torch.testing.assert_close(found, CENTRES, atol=2e-2, rtol=0)


def test_as_scipy_has_it_where_axes_differ_in_scale():
    numbers = np.random.default_rng(0)
    roots = numbers.normal(size=(4, 12, 12)) * np.logspace(0, 1, 12)
    curves, slopes = roots.transpose(0, 2, 1) @ roots + np.eye(12), numbers.normal(size=(4, 12))
    a, b = (torch.from_numpy(values.astype(np.float32)) for values in (curves, slopes))

    def soft(point, which):  # quadratic, and a corner that is rounded
        turned = torch.einsum("sij,js->is", a[which], point)
        value = (point * turned).sum(0) / 2 - (b[which].T * point).sum(0) + torch.logaddexp(point, -point).sum(0)
        return value, turned - b[which].T + torch.tanh(point)

    found = minimise(soft, torch.ones(12, 4), 1e-9)
    for s in range(4):

        def one(p, s=s):
            return p @ curves[s] @ p / 2 - slopes[s] @ p + np.logaddexp(p, -p).sum()

        np.testing.assert_allclose(found[:, s], minimize(one, np.ones(12), tol=1e-10).x, atol=2e-3)


def test_who_is_at_its_end_is_not_evaluated_again():
    asked = []

    def functions(point, which):
        asked.append(which.tolist())
        return walls(point, which)

    start = CENTRES.clone()
    start[:, 1] += 0.4
    minimise(functions, start, 1e-6)
    assert asked[0] == [0, 1, 2] and asked[2] == [1] and len(asked) < 40
    asked.clear()
    minimise(functions, start, 1e-6, most=5)
    assert len(asked) == 5

"""Counts what would make a process wait for its GPU: values that are read from a device.

On a CPU the same operations run, and are counted there: single numbers (`item`, `bool`, `int`), whole tensors
(`tolist`, `numpy`, `cpu`), operations whose result has a size that depends on values, and numbers of the process
that become a tensor (`tensor`), which a GPU's process waits for as well.
"""

from contextlib import contextmanager
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SIZED_BY_VALUES = ("nonzero", "masked_select", "unique", "_unique", "_unique2", "unique_dim", "unique_consecutive")


class Reads(TorchDispatchMode):
    """What was read, by the name of the operation."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name in ("index", "index_put_", "_index_put_impl_") and any(
            each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        )
        if name == "_local_scalar_dense" or name in SIZED_BY_VALUES or masks:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def reads():
    """Count while a block runs."""
    counted = Reads()

    def noted(name, owner=torch.Tensor):
        original = getattr(owner, name)

        def read(*args, **kwargs):
            counted.names.append(name)
            return original(*args, **kwargs)

        return mock.patch.object(owner, name, read)

    with noted("tolist"), noted("numpy"), noted("cpu"), noted("tensor", torch), counted:
        yield counted

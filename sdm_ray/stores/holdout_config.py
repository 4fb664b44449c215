"""How places are held out, as a configuration gives it. Light: nothing heavy is imported here."""

from functools import partial
from typing import Annotated

from pydantic import BeforeValidator

from sdm_ray.config import renamed
from sdm_ray.geo.blocks import Blocks

HeldOutBlocks = Annotated[Blocks, BeforeValidator(partial(renamed, names={"select": "validation"}))]
"""Spatial blocks; the share for early stopping was called `select` before."""

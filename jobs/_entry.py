"""What the scripts of this folder share: the package of this checkout comes first, whether or not it is installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sdm_ray.cli import job_main

__all__ = ["job_main"]

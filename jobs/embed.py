"""`python jobs/embed.py CONFIG [key=value ...]` is `sdm-ray embed`, for `ray job submit`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sdm_ray.cli import job_main

if __name__ == "__main__":
    job_main("embed")

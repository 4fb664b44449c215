"""`python jobs/impact.py CONFIG [key=value ...]` is `sdm-ray impact`, for `ray job submit`."""

from _entry import job_main

if __name__ == "__main__":
    job_main("impact")

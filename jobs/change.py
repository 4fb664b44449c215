"""`python jobs/change.py CONFIG [key=value ...]` is `sdm-ray change`, for `ray job submit`."""

from _entry import job_main

if __name__ == "__main__":
    job_main("change")

"""`python jobs/sample.py CONFIG [key=value ...]` is `sdm-ray sample`, for `ray job submit`."""

from _entry import job_main

if __name__ == "__main__":
    job_main("sample")

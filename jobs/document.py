"""`python jobs/document.py CONFIG [key=value ...]` is `sdm-ray document`, for `ray job submit`."""

from _entry import job_main

if __name__ == "__main__":
    job_main("document")

"""`python jobs/evaluate.py CONFIG [key=value ...]` is `sdm-ray evaluate`, for `ray job submit`."""

from _entry import job_main

if __name__ == "__main__":
    job_main("evaluate")

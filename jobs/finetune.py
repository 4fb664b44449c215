"""`python jobs/finetune.py CONFIG [key=value ...]` is `sdm-ray finetune`, for `ray job submit`."""

from _entry import job_main

if __name__ == "__main__":
    job_main("finetune")

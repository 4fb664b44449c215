"""Where to survey next: the job `sample`."""

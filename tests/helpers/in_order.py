"""Parts of work one after the other in this process, in place of `ray_tasks.run_tasks`."""


def in_order(work, shared, parts, compute, *, twice=False):
    for part in parts:
        yield part, work(shared, part), None

from sdm_ray.errors import InputError
from sdm_ray.ray_workers import line_of


def test_a_line_tells_the_cause_inside_what_ray_wraps():
    assert line_of(OSError("no space left\nand more")) == "OSError: no space left"
    assert line_of(InputError("map.zarr: is no map")) == "map.zarr: is no map"
    wrapped = (
        "ray::_guarded() (pid=1)\nRuntimeError: The remote function failed to import on the worker. \n\n"
        "Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'sdm_ray'\n"
    )
    assert line_of(RuntimeError(wrapped)) == "ModuleNotFoundError: No module named 'sdm_ray'"

"""The shape of the package: small files, few parameters, tests where a reader looks for them."""

import ast
import subprocess
from pathlib import Path

import sdm_ray

PACKAGE = Path(sdm_ray.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_PARAMETERS = 300, 6
MANY_PARAMETERS = {  # function -> why it may have more
    "info_nce": "a functional loss, as those of torch.nn.functional",
    "sigmoid": "a functional loss, as those of torch.nn.functional",
    "_gradients": "saved tensors of an autograd function",
    "inputs_of": "every input of a species model, each optional",
    "tuned": "what a baseline is fitted by, and the rows to choose on",
    "score": "labels and predictions, and the settings of the bootstrap by keyword",
    "compare": "labels and predictions, and the settings of the bootstrap by keyword",
    "block_picture": "a plot, as those of matplotlib",
    "_draw_map": "a plot, as those of matplotlib",
    "init": "a command, whose parameters are its flags",
}


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def test_files_are_short():
    assert [f"{each.name}: {n}" for each in MODULES if (n := len(each.read_text().splitlines())) > MOST_LINES] == []


def test_functions_have_few_parameters():
    found = [
        f"{module.relative_to(PACKAGE)}: {node.name} has {parameters(node)}"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and parameters(node) > MOST_PARAMETERS
        and node.name not in MANY_PARAMETERS
    ]
    assert found == []


def test_tests_lie_where_their_module_does():
    """`tests/a/test_b.py`, or `test_b_topic.py`, is about `sdm_ray/a/b.py`."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=TESTS, capture_output=True, text=True)
    files = [TESTS / name for name in listed.stdout.split()] or list(TESTS.rglob("*.py"))
    lost = []
    for file in files:
        inside = file.relative_to(TESTS)
        if (
            not file.name.startswith("test_")
            or inside.parts[0] in ("cluster", "faults")
            or (
                inside.parent == Path()
                and file.stem in ("test_layout", "test_demo", "test_docs", "test_notebook", "test_own_data")
            )
        ):
            continue
        words = file.stem.removeprefix("test_").split("_")
        names = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
        if not any((PACKAGE / inside.parent / f"{name}.py").exists() for name in names):
            lost.append(str(inside))
    assert lost == []

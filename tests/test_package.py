"""The package: what it exports, what it says of itself, and what it loads."""

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hyperrestore
from hyperrestore import errors

ROOT = Path(__file__).parents[1]
PACKAGE = Path(hyperrestore.__file__).parent


def python(program):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )


@pytest.mark.parametrize("name", hyperrestore.__all__)
def test_every_public_name_resolves_and_is_described(name):
    value = getattr(hyperrestore, name)
    assert inspect.getdoc(value)
    if name != "__version__":
        assert value.__doc__.strip(), "its own docstring, not an inherited one"


def test_the_public_names_agree_everywhere():
    assert len(hyperrestore.__all__) == len(set(hyperrestore.__all__))
    assert set(hyperrestore.__all__) == {"__version__", *hyperrestore._HOME_OF}
    assert dir(hyperrestore) == sorted(hyperrestore.__all__)
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    for_types = {
        statement.module.removeprefix("hyperrestore."): tuple(alias.name for alias in statement.names)
        for statement in block.body
    }
    assert for_types == hyperrestore._HOMES


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'mend'"):
        hyperrestore.mend  # noqa: B018
    with pytest.raises(ImportError):
        exec("from hyperrestore import mend")


def test_star_import_gives_the_public_names():
    space = {}
    exec("from hyperrestore import *", space)
    assert set(hyperrestore.__all__) <= set(space)


def test_importing_the_package_loads_nothing_else():
    program = (
        "import sys; before = set(sys.modules); import hyperrestore\n"
        "print(sorted(name for name in set(sys.modules) - before if name.startswith('hyperrestore.')))\n"
        "print(sorted({'numpy', 'torch', 'pyvips', 'openvino'} & set(sys.modules)))"
    )
    result = python(program)
    assert (result.stdout, result.stderr) == ("[]\n[]\n", "")


def test_restoring_never_imports_torch():
    program = (
        "import sys, numpy as np\n"
        "from hyperrestore import Restorer, read_picture, restore_file, run_tiled, write_picture\n"
        "Restorer.load('denoise')(np.zeros((3, 20, 20), np.float32), 25)\n"
        "print(sorted({'torch', 'onnx', 'PIL', 'matplotlib'} & set(sys.modules)))"
    )
    result = python(program)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_the_library_logs_silently_until_a_program_listens():
    program = (
        "import logging, sys, numpy as np\n"
        "from hyperrestore import Restorer\n"
        "Restorer.load('denoise')(np.zeros((3, 20, 20), np.float32), 25)\n"
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(name)s')\n"
        "Restorer.load('denoise')(np.zeros((3, 20, 20), np.float32), 25)"
    )
    result = python(program)
    assert set(result.stdout.split()) == {"hyperrestore.run.openvino", "hyperrestore.run.engine"}
    assert result.stderr == ""


def test_without_torch_its_names_say_what_to_install():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import hyperrestore\n"
        "try:\n    from hyperrestore import hyperize\n"
        "except hyperrestore.MissingExtraError as error:\n    print(error)"
    )
    result = python(program)
    assert (result.stdout, result.stderr) == ("hyperize needs torch: pip install 'hyperrestore[torch]'\n", "")


@pytest.mark.parametrize("device", ["torch", "cuda:1"])
def test_without_torch_its_devices_are_refused_by_the_name_that_was_given(device):
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import hyperrestore\n"
        f"try:\n    hyperrestore.Restorer.load('denoise', device={device!r})\n"
        "except hyperrestore.MissingExtraError as error:\n    print(error)"
    )
    result = python(program)
    needs = f"device {device!r} needs torch: pip install 'hyperrestore[torch]'\n"
    assert (result.stdout, result.stderr) == (needs, "")


@pytest.mark.parametrize(
    ("words", "job"),
    [
        (["train", "recipe.toml", "--data", "photos"], "training"),
        (["export", "model.safetensors"], "exporting"),
        (["calibrate", "model.safetensors", "--data", "photos"], "calibrating"),
    ],
)
def test_without_torch_its_commands_say_what_to_install(words, job):
    result = python(
        "import sys; sys.modules['torch'] = None\n"
        f"from hyperrestore.cli.main import main\nsys.exit(main({words}))"
    )
    assert result.returncode == 2
    assert result.stderr == f"hyperrestore: error: {job} needs torch: pip install 'hyperrestore[torch]'\n"


def test_the_version_is_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    changes = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = next(version for version in changes if version != "Unreleased")
    assert hyperrestore.__version__ == project["version"] == released
    citation = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation is None or citation[1].strip("\"'") == hyperrestore.__version__


def test_the_map_names_every_package_and_every_file_beside_them():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    packages = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*/__init__.py")}
    assert packages | {"models"} == set(
        re.findall(r"`([a-z/]+)/`", text.partition("| package")[2].partition("Beside")[0])
    )
    beside = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert beside == set(re.findall(r"`(\w+\.py)`", text.partition("Beside")[2]))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_first_line_of_a_file_says_what_it_is_for(path):
    first = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
    assert len(first) > 15


# --- Errors -----------------------------------------------------------------------------------------


def drawn_tree():
    """Name, name of the parent and exit code of every error drawn at the top of errors.py."""
    parents, drawn = [], {}
    for line in errors.__doc__.splitlines():
        if not (match := re.match(r"^    ([ │├└─]*)(\w+Error)\b(.*)$", line)):
            continue
        branch, name, words = match.groups()
        del parents[len(branch) // 4 :]
        code = re.search(r"exit code (\d)", words)
        parent = parents[-1] if parents else None
        drawn[name] = (parent, int(code[1]) if code else drawn[parent][1] if parent else 1)
        parents.append(name)
    return drawn


def test_the_error_tree_is_as_drawn():
    existing = {
        name: (next((base.__name__ for base in kind.__bases__ if base.__module__ == errors.__name__), None),
               kind.exit_code)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
    }  # fmt: skip
    assert drawn_tree() == existing
    assert len(existing) == 9


def test_errors_are_also_what_python_calls_them():
    assert issubclass(errors.LevelError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)
    assert issubclass(errors.ExtrapolationWarning, UserWarning)


def test_every_error_is_public():
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert kinds <= set(hyperrestore.__all__)


# --- Types ------------------------------------------------------------------------------------------


def test_a_strangers_program_type_checks(tmp_path):
    """As it would beside an installed package, whose types count because of `py.typed`."""
    pytest.importorskip("mypy")
    assert (PACKAGE / "py.typed").is_file()
    program = Path(__file__).with_name("stranger.py")
    used = {node.id for node in ast.walk(ast.parse(program.read_text())) if isinstance(node, ast.Name)}
    assert set(hyperrestore.__all__) - {"__version__"} <= used
    copy = tmp_path / "program.py"  # where no configuration is found
    copy.write_text(program.read_text())
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", "cache", copy.name],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


# --- Size -------------------------------------------------------------------------------------------

LONGEST_FUNCTION, LONGEST_FILE = 80, 400  # lines


def source_files():
    """Text of every file of the package, by its path."""
    return {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}


def test_no_file_is_long_without_a_reason():
    """A file may be: if its first line says why it is one ("... In one file because ...")."""
    long = {
        name
        for name, text in source_files().items()
        if len(text.splitlines()) > LONGEST_FILE and "in one file because" not in text.splitlines()[0].lower()
    }
    assert long == set(), f"over {LONGEST_FILE} lines: split them by subject"


def test_no_function_is_long():
    functions = {
        f"{name}: {node.name}": node.end_lineno - node.lineno + 1
        for name, text in source_files().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(functions) > 500
    long = {name for name, lines in functions.items() if lines > LONGEST_FUNCTION}
    assert long == set(), f"over {LONGEST_FUNCTION} lines: split them"

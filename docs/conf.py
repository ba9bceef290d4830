"""Sphinx: how the documentation site is built (`make docs`)."""

import io
import re
from contextlib import redirect_stdout
from enum import Enum
from pathlib import Path

from sphinx.application import Sphinx

import hyperrestore
from hyperrestore.cli.arguments.parser import parser

HERE = Path(__file__).parent

project = "hyperrestore"
copyright = "the hyperrestore authors, Apache-2.0"
release = hyperrestore.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"hyperrestore {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 80
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them
default_role = "code"  # `name` in a docstring
highlight_language = "text"
pygments_dark_style = "monokai"


def write_commands(target: Path) -> None:
    """The help text of every command, as a page."""
    commands = parser()
    (choices,) = (
        action.choices for action in commands._actions if action.choices and action.dest == "command"
    )
    lines = ["# Commands", "", "The output of `hyperrestore COMMAND --help`.", ""]
    for name, command in choices.items():
        text = io.StringIO()
        with redirect_stdout(text):
            command.print_help()
        lines += [f"## {name}", "", "```text", text.getvalue().rstrip(), "```", ""]
    target.write_text("\n".join(lines))


def write_names(target: Path) -> None:
    """Every public name, described by its docstring."""
    lines = [
        "# Python",
        "",
        "All public names of the package, beside `__version__`: `from hyperrestore import ...`.",
        "",
    ]
    for name in hyperrestore.__all__:
        value = getattr(hyperrestore, name)
        if isinstance(value, type):
            lines += [
                f"## {name}",
                "",
                "```{eval-rst}",
                f".. autoclass:: hyperrestore.{name}",
                "   :members:",
                *(["   :special-members: __call__"] if "__call__" in vars(value) else []),
                *(["   :undoc-members:"] if issubclass(value, Enum) else []),
                "```",
                "",
            ]
        elif callable(value):
            lines += [f"## {name}", "", "```{eval-rst}", f".. autofunction:: hyperrestore.{name}", "```", ""]
    target.write_text("\n".join(lines))


def link_cards(_: Sphinx, __: str, source: list[str]) -> None:
    """Links to the model cards lead to their pages here; on GitHub they lead to the files."""
    source[0] = re.sub(r"\((?:\.\./)+src/hyperrestore/models/(\w+\.md)", r"(/reference/cards/\1", source[0])


def leave_out_tuple_fields(_: Sphinx, __: str, ___: str, value: object, skip: bool, ____: object) -> bool:
    """The fields of a named tuple, which stand in its signature."""
    return skip or type(value).__name__ == "_tuplegetter"


def shorten_signature(
    _: Sphinx, __: str, ___: str, value: object, ____: object, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Arrays by the type of their values; no arguments of a protocol, which nobody calls to make one."""

    def shorter(text: str | None) -> str | None:
        if text is None:
            return None
        text = re.sub(
            r"~numpy\.ndarray\[tuple\[~typing\.Any, \.\.\.\], ~numpy\.dtype\[(.+?)\]\]", r"NDArray[\1]", text
        )
        return text.replace("<function <lambda>>", "...")

    return ("" if getattr(value, "_is_protocol", False) else shorter(arguments)), shorter(result)


def setup(app: Sphinx) -> None:
    """Write the generated pages, and follow links out of the folder."""
    write_commands(HERE / "reference" / "commands.md")
    write_names(HERE / "reference" / "python.md")
    app.connect("source-read", link_cards)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-skip-member", leave_out_tuple_fields)

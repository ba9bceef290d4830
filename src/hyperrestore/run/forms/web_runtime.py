"""ONNX Runtime for browsers, the files of it that a page needs, from its npm package."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hyperrestore.errors import UsageError

TESTED = "1.30.0"
# Each build is a module of JavaScript and the WebAssembly that it loads: for the processor, and for WebGPU.
FILES = (
    "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.bundle.min.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
ADVICE = (
    f"download it by `npm pack onnxruntime-web@{TESTED}`, and give --runtime onnxruntime-web-{TESTED}.tgz"
)


@dataclass(frozen=True)
class WebRuntime:
    """What is taken from the package.

    Attributes:
        version: Of the package.
        files: The bytes of its files by their names.
    """

    version: str
    files: Mapping[str, bytes]


def read_runtime(archive: Path | None) -> WebRuntime:
    """Read the npm package onnxruntime-web.

    Args:
        archive: The `.tgz` file, as `npm pack` downloads it; None if there is none.

    Raises:
        UsageError: There is none, it cannot be read, or it is another package or lacks a file.
    """
    if archive is None:
        raise UsageError(f"form page needs ONNX Runtime for browsers; {ADVICE}")
    try:
        with tarfile.open(archive, "r:gz") as package:
            about = json.loads(_member(package, "package.json"))
            if about.get("name") != "onnxruntime-web":
                raise UsageError(f"{archive}: the npm package {about.get('name')!r}; {ADVICE}")
            files = {name: _member(package, f"dist/{name}") for name in FILES}
    except KeyError as error:
        raise UsageError(f"{archive}: not an npm package as expected: {error.args[0]}; {ADVICE}") from error
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise UsageError(f"{archive}: not a readable npm package ({error}); {ADVICE}") from error
    return WebRuntime(str(about["version"]), files)


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(f"package/{name}")
    if file is None:
        raise KeyError(f"{name} is not a file")
    return file.read()

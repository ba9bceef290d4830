import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from hyperrestore import Restorer
from hyperrestore.atomic import write_atomically
from hyperrestore.errors import CheckpointError
from hyperrestore.level import LevelScale, Task
from hyperrestore.network.checkpoint import (
    KEY,
    Checkpoint,
    Description,
    layout_digest,
    load_checkpoint,
    read_description,
    save_checkpoint,
    tensor_places,
)

SCALE = LevelScale("sigma", low=0, high=100, trained=(0, 75), origin=0, reference=50.5, powers=(1, 0.5))
DESCRIPTION = Description(
    task=Task.DENOISE,
    network={"kind": "unet", "widths": [8, 16], "blocks": [1, 1], "rank": 2},
    scale=SCALE,
    halo=17,
    multiple=2,
    history={"steps": 12, "data": "photos of a müller", "scores": [30.5, 28.25], "nested": {"a": None}},
)
TENSORS = {
    "b.weight": np.arange(24, dtype=np.float16).reshape(2, 3, 2, 2),
    "a": np.array([1.5, -2, 65504, 6e-8], np.float16),
    "one": np.ones((1, 1), np.float16),
}
CHECKPOINT = Checkpoint(DESCRIPTION, TENSORS)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save_checkpoint(path, CHECKPOINT)
    return path


def assert_same(one, other):
    assert one.description == other.description
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other.tensors[name].dtype
        np.testing.assert_array_equal(tensor, other.tensors[name])


def test_what_is_saved_is_loaded(file):
    assert_same(load_checkpoint(file), CHECKPOINT)
    assert_same(load_checkpoint(str(file)), CHECKPOINT)
    assert read_description(file) == DESCRIPTION


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None)
@given(
    history=st.dictionaries(st.text(max_size=5), values, max_size=3),
    shape=st.lists(st.integers(0, 4), max_size=4),
    ends=st.lists(numbers, min_size=5, max_size=5),
    powers=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    name=st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=9),
    bits=st.binary(min_size=512, max_size=512),
)
def test_any_checkpoint_survives(tmp_path_factory, history, shape, ends, powers, name, bits):
    low, first, last, high, origin = sorted(ends)
    scale = LevelScale("x", low, high, (first, last), origin, origin + 1, tuple(powers))
    tensor = np.frombuffer(bits, np.float16)[: int(np.prod(shape))].reshape(shape)
    made = Checkpoint(replace(DESCRIPTION, scale=scale, history=history), {name: tensor})
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    save_checkpoint(path, made)
    assert_same(load_checkpoint(path), made)


def test_the_same_checkpoint_gives_the_same_bytes(file, tmp_path):
    turned = Checkpoint(DESCRIPTION, dict(reversed(TENSORS.items())))
    save_checkpoint(tmp_path / "again.safetensors", turned)
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_places_are_where_the_tensors_lie(file):
    content = file.read_bytes()
    places = tensor_places(file)
    assert places.keys() == TENSORS.keys()
    for name, (start, length) in places.items():
        assert content[start : start + length] == TENSORS[name].tobytes()


def test_the_layout_digest_changes_with_description_and_name_alone(file, tmp_path):
    other = tmp_path / "elsewhere" / file.name
    other.parent.mkdir()
    save_checkpoint(other, Checkpoint(DESCRIPTION, {**TENSORS, "a": TENSORS["a"] + 1}))
    assert layout_digest(other) == layout_digest(file)
    renamed = other.rename(other.with_name("other.safetensors"))
    assert layout_digest(renamed) != layout_digest(file)
    save_checkpoint(other, Checkpoint(replace(DESCRIPTION, history={}), TENSORS))
    assert layout_digest(other) != layout_digest(file)


def test_every_truncated_file_is_refused(file, tmp_path):
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for length in {*range(0, header, 7), *range(header - 2, len(content)), 1, 7, 8, 9}:
        path = tmp_path / "short.safetensors"
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"short\.safetensors"):
            load_checkpoint(path)
        with pytest.raises(CheckpointError):
            read_description(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), count=st.integers(1, 3))
def test_a_flipped_byte_gives_equal_shapes_or_an_error(file, tmp_path_factory, data, count):
    content = bytearray(file.read_bytes())
    for _ in range(count):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flipped") / "model.safetensors"
    path.write_bytes(content)
    try:
        loaded = load_checkpoint(path)
    except CheckpointError:
        return
    assert sorted(tensor.shape for tensor in loaded.tensors.values()) == sorted(
        tensor.shape for tensor in TENSORS.values()
    )
    assert all(tensor.dtype == np.float16 for tensor in loaded.tensors.values())
    assert loaded.description.multiple >= 1


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"A text that somebody renamed to .safetensors, long enough for a header.\n" * 3)
@example(b"\x89PNG\r\n\x1a\n" + bytes(100))
@example((2).to_bytes(8, "little") + b"{}")
@example((2**62).to_bytes(8, "little") + b"{}")
def test_foreign_files_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("foreign") / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_checkpoint(path)


def write_header(path, text):
    save_file({"a": np.ones(2, np.float16)}, path, metadata={KEY: text})


def header(**changes):
    scale = {
        "unit": "sigma",
        "low": 0,
        "high": 1,
        "trained": [0, 1],
        "origin": 0,
        "reference": 1,
        "powers": [1],
    }
    entries = {"format_version": 1, "task": "denoise", "network": {}, "halo": 1, "multiple": 2, "history": {}}
    return {**entries, "scale": scale, **changes}


def test_a_whole_header_is_accepted(tmp_path):
    write_header(tmp_path / "m", json.dumps(header()))
    assert load_checkpoint(tmp_path / "m").description.multiple == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "null",
        "[]",
        "{}",
        "1" * 5000,
        "[" * 100_000,
        *(json.dumps(header(**{name: None})) for name in ("task", "network", "scale", "halo", "history")),
        *(json.dumps({k: v for k, v in header().items() if k != name}) for name in header()),
        json.dumps(header(task="paint")),
        json.dumps(header(task=[])),
        json.dumps(header(halo=-1)),
        json.dumps(header(halo=float("inf"))),
        json.dumps(header(halo=float("nan"))),
        json.dumps(header(multiple=0)),
        json.dumps(header(multiple="x")),
        json.dumps(header(scale=[])),
        json.dumps(header(scale={**header()["scale"], "low": "0"})),
        json.dumps(header(scale={**header()["scale"], "low": 10**400})),
        json.dumps(header(scale={**header()["scale"], "high": float("nan")})),
        json.dumps(header(scale={**header()["scale"], "trained": [0, 0.5, 1]})),
        json.dumps(header(scale={**header()["scale"], "trained": 1})),
        json.dumps(header(scale={**header()["scale"], "more": 1})),
        json.dumps(header(history=[1])),
    ],
)
def test_a_damaged_header_is_refused(tmp_path, text):
    write_header(tmp_path / "model", text)
    for read in (load_checkpoint, read_description):
        with pytest.raises(CheckpointError, match="model"):
            read(tmp_path / "model")


def test_another_version_says_so(tmp_path):
    write_header(tmp_path / "model", json.dumps(header(format_version=3)))
    with pytest.raises(CheckpointError, match=r"version 3; this hyperrestore reads versions 1 and 2"):
        load_checkpoint(tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (".", "it is a folder"),
        ("empty", "it is empty"),
        ("text", "header too large"),
        ("missing", "No such file or directory"),
        ("text/below", "Not a directory"),
        ("pipe", "it is a pipe or a device"),
        ("/dev/null", "it is a pipe or a device"),
        ("zero\0byte", "embedded null byte"),
    ],
)
def test_what_is_no_model_is_named_with_what_to_give(tmp_path, monkeypatch, name, fault):
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("text").write_text("A text, and not a model.\n")
    os.mkfifo("pipe")  # nobody writes into it
    words = rf"^{re.escape(name)}: not a readable model file \(.*{fault}.*\); give a \.safetensors file"
    for read in (load_checkpoint, read_description):
        with pytest.raises(CheckpointError, match=words):
            read(name)


def test_a_model_in_a_closed_folder(monkeypatch):
    def refused(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refused)
    for read in (load_checkpoint, read_description, Restorer.load):
        with pytest.raises(
            CheckpointError, match=r"^closed/m: not a readable model file \(Permission denied\)"
        ):
            read("closed/m")


def test_a_foreign_safetensors_file_says_so(tmp_path):
    for metadata in (None, {"format": "pt"}):
        save_file({"a": np.ones(2, np.float16)}, tmp_path / "model", metadata=metadata)
        with pytest.raises(CheckpointError, match="not a hyperrestore model"):
            load_checkpoint(tmp_path / "model")


def test_other_numbers_than_fp16_are_refused(tmp_path):
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "model", metadata={KEY: json.dumps(header())})
    with pytest.raises(CheckpointError, match="a are not fp16"):
        load_checkpoint(tmp_path / "model")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match=str(path)):
            load_checkpoint(path)


@pytest.mark.parametrize("fails", ["replace", "fsync"])
def test_failed_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, fails):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(*((Path, fails) if fails == "replace" else (os, fails)), broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX")
def test_a_written_file_has_the_rights_of_any_new_file(tmp_path):
    write_atomically(tmp_path / "written", b"")
    (tmp_path / "usual").write_bytes(b"")
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_reading_needs_no_torch(file):
    code = f"""
import sys
from hyperrestore.network.checkpoint import load_checkpoint
load_checkpoint({str(file)!r})
assert not {{"torch", "onnx", "openvino"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

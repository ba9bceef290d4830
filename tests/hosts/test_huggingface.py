"""Models in folders as the Hugging Face hub has them; nothing is sent or fetched."""

import inspect
import sys

import numpy as np
import pytest

from hosts.conftest import host
from hyperrestore import CheckpointError, MissingExtraError, Restorer, UsageError
from hyperrestore.hosts.huggingface import from_pretrained, push_to_hub, save_pretrained

STEP = 1 / 255


@pytest.fixture(scope="module")
def hub():
    return host("huggingface_hub")


@pytest.mark.parametrize(("task", "level"), [("denoise", 25), ("dejpeg", 30), ("upscale", 2)])
def test_what_is_saved_is_the_command(noisy, by_command, tmp_path, task, level):
    restorer = from_pretrained(save_pretrained(task, tmp_path / "folder"))
    option = "--scale" if task == "upscale" else "--level"
    expected = by_command(noisy, task, option, level)
    assert np.abs(restorer(noisy, level) - expected).max() < STEP
    if task != "upscale":
        levels = np.full(noisy.shape[1:], level, np.float32)
        assert np.abs(restorer(noisy, levels) - expected).max() < STEP


@pytest.mark.parametrize("task", ["denoise", "dejpeg", "upscale"])
def test_the_card_says_what_the_hub_reads(hub, tmp_path, task):
    card = hub.ModelCard.load(save_pretrained(task, tmp_path, datasets=["someone/photos"]) / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0"
    assert (data["library_name"], data["pipeline_tag"]) == ("hyperrestore", "image-to-image")
    assert data["tags"][0] == "image-restoration"
    assert data["datasets"] == ["someone/photos"]
    assert f"# Model card: {task}" in card.content
    assert "](../" not in card.content
    assert (tmp_path / "denoise-photos.tsv").exists() == ("`denoise-photos.tsv`" in card.content)


def test_the_int8_ranges_are_saved_too(tmp_path, noisy):
    from_pretrained(save_pretrained("denoise", tmp_path), precision="int8")


def test_a_model_of_ones_own(hub, tiny_model, tmp_path, noisy):
    save_pretrained(tiny_model, tmp_path / "own", licence="cc0-1.0")
    card = hub.ModelCard.load(tmp_path / "own" / "README.md")
    assert card.data.license == "cc0-1.0"
    assert "- **sigma**: a number from 0 to 100, outside of 0 to 75 with a warning" in card.text
    restored = from_pretrained(tmp_path / "own")(noisy, 25)
    assert np.array_equal(restored, Restorer.load(tiny_model)(noisy, 25))


def test_a_repository_is_loaded_as_real_files(hub, tmp_path, noisy, monkeypatch):
    """The usual cache of the hub holds links, through which OpenVINO does not find a graph's weights."""
    saved, asked = save_pretrained("denoise", tmp_path / "saved"), []

    def snapshot_download(repo, *, revision, token, allow_patterns, local_dir):
        asked.append((repo, revision, token))
        names = [file.name for pattern in allow_patterns for file in saved.glob(pattern)]
        others = {"README.md", "denoise-photos.tsv"}
        assert sorted(names) == sorted({file.name for file in saved.iterdir()} - others)
        local_dir.mkdir(parents=True)
        for name in names:
            (local_dir / name).write_bytes((saved / name).read_bytes())

    accepted = set(inspect.signature(hub.snapshot_download).parameters)
    assert set(inspect.signature(snapshot_download).parameters) - {"repo"} <= accepted
    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(hub.constants, "HF_HOME", str(tmp_path / "home"))
    restorer = from_pretrained("someone/denoise", revision="refs/pr/1", token="t")
    assert asked == [("someone/denoise", "refs/pr/1", "t")]
    assert (tmp_path / "home" / "hyperrestore" / "someone" / "denoise" / "refs--pr--1").is_dir()
    assert np.array_equal(restorer(noisy, 25), Restorer.load("denoise")(noisy, 25))


def test_pushing_makes_the_repository_and_uploads_the_folder(hub, monkeypatch):
    calls = []

    class Api:
        def __init__(self, *, token):
            calls.append(("token", token))

        def create_repo(self, *, repo_id, private, exist_ok):
            calls.append(("create", repo_id, private, exist_ok))
            return f"https://huggingface.co/{repo_id}"

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            calls.append(("upload", repo_id, sorted(file.name for file in folder_path.iterdir())))

    real = hub.HfApi
    monkeypatch.setattr(hub, "HfApi", Api)
    address = push_to_hub("dejpeg", "someone/dejpeg", token="t", private=True)
    assert address == "https://huggingface.co/someone/dejpeg"
    endings = ("-map.onnx", ".onnx", ".ranges.json", ".safetensors")
    files = ["README.md", *(f"dejpeg{ending}" for ending in endings), "denoise-photos.tsv"]
    assert calls == [
        ("token", "t"),
        ("create", "someone/dejpeg", True, True),
        ("upload", "someone/dejpeg", files),
    ]
    for name in ("create_repo", "upload_folder"):  # the stand-in is called as the real one may be
        ours = set(inspect.signature(getattr(Api, name)).parameters)
        assert ours <= set(inspect.signature(getattr(real, name)).parameters)


def test_what_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="neither a folder nor the name of a repository"):
        from_pretrained(tmp_path / "missing")
    with pytest.raises(UsageError, match="it holds none"):
        from_pretrained(tmp_path)
    save_pretrained("denoise", tmp_path)
    save_pretrained("dejpeg", tmp_path)
    with pytest.raises(UsageError, match=r"it holds dejpeg.safetensors, denoise.safetensors"):
        from_pretrained(tmp_path)
    with pytest.raises(CheckpointError):
        save_pretrained(tmp_path / "none.safetensors", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_saving_needs_no_hub(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    from_pretrained(save_pretrained("denoise", tmp_path))
    with pytest.raises(
        MissingExtraError, match="huggingface_hub is not installed: pip install huggingface_hub"
    ):
        push_to_hub("denoise", "someone/denoise")

"""Models on the Hugging Face hub: a folder with a model, its graphs and its card."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hyperrestore.atomic import write_atomically
from hyperrestore.errors import UsageError
from hyperrestore.hosts.installed import import_host
from hyperrestore.level import SHIPPED, Task
from hyperrestore.network.checkpoint import Description, read_description
from hyperrestore.restore.restorer import Restorer, model_path
from hyperrestore.run.backend import Precision

TAGS = {
    Task.PHOTO: ["denoising", "jpeg-artifacts-removal"],
    Task.DENOISE: ["denoising"],
    Task.DEJPEG: ["jpeg-artifacts-removal"],
    Task.UPSCALE: ["super-resolution"],
}
LICENCE = "apache-2.0"  # of the models of the package
LOADED = ("*.safetensors", "*.onnx", "*.ranges.json")
LINK_OUT = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")  # of a card, to a file that is not beside it


def from_pretrained(
    repo_or_folder: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> Restorer:
    """Load a model from the hub, or from a folder that `save_pretrained` wrote.

    Args:
        repo_or_folder: "owner/name", or a folder.
        revision: Branch, tag or commit of the repository.
        token: Access token, for private repositories.
        device: As for `Restorer.load`.
        precision: As for `Restorer.load`.

    Raises:
        UsageError: It is neither a folder nor "owner/name", or does not hold exactly one model.
        MissingExtraError: huggingface_hub is not installed, and it is not a folder.
        CheckpointError: The model is damaged.
    """
    folder = Path(repo_or_folder)
    if not folder.is_dir():
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(repo_or_folder)):
            raise UsageError(f"{repo_or_folder} is neither a folder nor the name of a repository, owner/name")
        folder = _downloaded(str(repo_or_folder), revision, token)
    models = sorted(folder.glob("*.safetensors"))
    if len(models) != 1:
        found = ", ".join(model.name for model in models) or "none"
        raise UsageError(f"{repo_or_folder} must hold one model, a .safetensors file; it holds {found}")
    return Restorer.load(models[0], device=device, precision=precision)


def save_pretrained(
    model: str | Path, folder: str | Path, *, licence: str | None = None, datasets: Sequence[str] = ()
) -> Path:
    """Write a folder that can be uploaded as it is: the model, its graphs and ranges, and its card.

    Args:
        model: "photo", "denoise", "dejpeg", "upscale", or the path of a checkpoint. Beside it may lie its
            graphs, and its card, a `.md` file of the same name.
        folder: Made if it does not exist; files of these names in it are replaced.
        licence: By its identifier on the hub, "apache-2.0"; by default that of the package's models, or the
            one that the checkpoint tells.
        datasets: Identifiers on the hub of what the model was trained on.

    Returns:
        The folder.

    Raises:
        CheckpointError: There is no such model, or it is damaged.
    """
    path, folder = model_path(model), Path(folder)
    description = read_description(path)
    if licence is None:
        licence = LICENCE if model in SHIPPED else str(description.history.get("licence", "")).lower() or None
    card = path.with_suffix(".md")
    text = card.read_text("utf-8") if card.exists() else _plain_card(path.stem, description)
    text = LINK_OUT.sub(r"\1", text)
    folder.mkdir(parents=True, exist_ok=True)
    for file in _files(path, text):
        shutil.copyfile(file, folder / file.name)
    readme = f"{_front_matter(description, licence, datasets)}\n{text.rstrip()}\n\n{_use(description)}"
    write_atomically(folder / "README.md", readme.encode())
    return folder


def push_to_hub(
    model: str | Path,
    repo: str,
    *,
    licence: str | None = None,
    datasets: Sequence[str] = (),
    private: bool | None = None,
    token: str | None = None,
    message: str = "Upload a model of hyperrestore",
) -> str:
    """Upload a model to the hub; the repository is made if it does not exist.

    Args:
        model: As for `save_pretrained`.
        repo: "owner/name".
        licence: As for `save_pretrained`.
        datasets: As for `save_pretrained`.
        private: Whether a new repository is private; None for the default of its owner.
        token: Access token; by default the one that `hf auth login` stored.
        message: Of the commit.

    Returns:
        The address of the repository.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        CheckpointError: As for `save_pretrained`.
    """
    api = import_host("huggingface_hub", install="huggingface_hub").HfApi(token=token)
    with tempfile.TemporaryDirectory() as temporary:
        folder = save_pretrained(model, temporary, licence=licence, datasets=datasets)
        address = api.create_repo(repo_id=repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    return str(address)


def _downloaded(repo: str, revision: str | None, token: str | None) -> Path:
    """The folder with the files of a repository, in the hub's own cache.

    They are real files. Those of the usual cache are links to files of other names, and OpenVINO looks for
    the weights of a graph beside the file that the link leads to.
    """
    hub = import_host("huggingface_hub", install="huggingface_hub")
    version = (revision or "main").replace("/", "--")
    folder = Path(hub.constants.HF_HOME, "hyperrestore", *repo.split("/"), version)
    hub.snapshot_download(repo, revision=revision, token=token, allow_patterns=list(LOADED), local_dir=folder)
    return folder


def _files(path: Path, card: str) -> Iterator[Path]:
    """A model, and what lies beside it: graphs, ranges, and tables that its card names."""
    names = [path.name, *(path.stem + end for end in (".onnx", "-map.onnx", ".ranges.json"))]
    names += sorted(set(re.findall(r"`([\w-]+\.tsv)`", card)))
    yield from (file for name in names if (file := path.with_name(name)).exists())


def _front_matter(description: Description, licence: str | None, datasets: Sequence[str]) -> str:
    """What the hub reads at the top of a card; JSON is YAML."""
    tags = ["image-restoration", *TAGS[description.task]]
    entries = {
        "license": licence,
        "library_name": "hyperrestore",
        "pipeline_tag": "image-to-image",
        "tags": tags,
        "datasets": list(datasets),
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in entries.items() if value]
    return "\n".join(["---", *lines, "---", ""])


def _plain_card(name: str, description: Description) -> str:
    """The card of a model that has none: what its checkpoint tells."""
    levels = "\n".join(f"- **{scale.unit}**: {scale.range}" for scale in description.scales)
    history = description.history.items()
    told = [f"- {key}: {value}" for key, value in history if isinstance(value, str | int | float)]
    training = "\n".join(["", "## Training", "", *told, ""]) if told else ""
    return f"# {name}\n\nA model of hyperrestore for {description.task}. Its levels:\n\n{levels}\n{training}"


def _use(description: Description) -> str:
    level = description.scale.reference
    return (
        "## Use\n\n```\npip install hyperrestore huggingface_hub\n```\n\n```python\n"
        "from hyperrestore import read_picture, write_picture\n"
        "from hyperrestore.hosts.huggingface import from_pretrained\n\n"
        'restorer = from_pretrained("owner/name")  # of this repository\n'
        f'write_picture("restored.png", restorer(read_picture("photo.jpg"), {level:g}))  '
        f"# {description.scale.unit}\n```\n"
    )

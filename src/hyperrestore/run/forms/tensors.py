"""A model for one level as the state dict of a network of plain convolutions."""

from __future__ import annotations

import json
from dataclasses import asdict

from safetensors.torch import save

from hyperrestore import __version__
from hyperrestore.network.hyper import materialize
from hyperrestore.run.forms.model import Model

KEY = "hyperrestore.baked"


def tensors_file(model: Model, levels: tuple[float, ...]) -> bytes:
    """The state dict of `materialize(network, levels)` in fp32, and one JSON document as metadata.

    The document says what `NetworkConfig` says, and the level: see `docs/guide/export.md`.
    """
    state = {
        name: tensor.contiguous() for name, tensor in materialize(model.network, levels).state_dict().items()
    }
    description = model.description
    about = {
        "format_version": 1,
        "task": description.task.value,
        "network": {
            key: asdict(model.config)[key] for key in ("kind", "widths", "blocks", "shuffle", "subpixels")
        },
        "level": {scale.unit: level for scale, level in zip(description.scales, levels, strict=True)},
        "scale": round(levels[0]) if model.config.subpixels > 1 else 1,
        "multiple": description.multiple,
        "halo": description.halo,
        "licence": description.history.get("licence"),
        "weights": model.digest,
        "version": __version__,
    }
    return save(state, metadata={KEY: json.dumps(about)})

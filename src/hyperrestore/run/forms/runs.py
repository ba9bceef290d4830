"""Exported files as other programs run them, for the comparison with the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hyperrestore.arrays import Float32
from hyperrestore.errors import MissingExtraError
from hyperrestore.network.architectures import build_plain
from hyperrestore.run.forms.check import Run
from hyperrestore.run.forms.model import Model
from hyperrestore.run.forms.ncnn_form import IN, OUT
from hyperrestore.run.openvino import openvino_core


def run_onnx(path: Path, level: str | None = None) -> Run:
    """An ONNX file, run with OpenVINO in fp32; `level` is the name of its second input."""
    compiled = openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: Float32, levels: Float32) -> Float32:
        inputs = images if level is None else {"image": images, level: levels}
        (result,) = compiled(inputs).values()
        return np.asarray(result)

    return run


def run_stacked(path: Path) -> Run:
    """An ONNX file whose only input is the image and the map of levels, one behind the other."""
    run = run_onnx(path)
    return lambda images, levels: run(np.concatenate([images, levels], axis=1), levels)


def run_pt2(path: Path) -> Run:
    """A program of `torch.export`."""
    network = torch.export.load(path).module()

    def run(images: Float32, levels: Float32) -> Float32:
        with torch.inference_mode():
            return network(torch.from_numpy(images), torch.from_numpy(levels)).numpy()  # type: ignore[no-any-return]

    return run


def run_tensors(path: Path, model: Model) -> Run:
    """A state dict, in the network that the checkpoint describes."""
    from safetensors.torch import load_file

    network = build_plain(model.config).eval()
    network.load_state_dict(load_file(path))

    def run(images: Float32, levels: Float32) -> Float32:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()  # type: ignore[no-any-return]

    return run


def run_ncnn(layers: Path, weights: Path) -> Run:
    """The two files of ncnn, in fp32 on the CPU.

    Raises:
        MissingExtraError: ncnn is not installed.
    """
    try:
        import ncnn
    except ImportError as error:
        raise MissingExtraError("exporting as ncnn needs ncnn: pip install 'hyperrestore[ncnn]'") from error

    network = ncnn.Net()
    network.opt.num_threads = 1
    network.opt.use_vulkan_compute = False
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, option, False)
    network.load_param(str(layers))
    network.load_model(str(weights))

    def restored(image: Float32) -> Float32:
        extractor = network.create_extractor()
        extractor.input(IN, ncnn.Mat(image))
        _, result = extractor.extract(OUT)
        return np.array(result)

    return lambda images, levels: np.stack([restored(image) for image in images])

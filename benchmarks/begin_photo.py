"""Initial weights for photo repair, derived from the networks for noise and for JPEG.

    python benchmarks/begin_photo.py recipes/photo.toml -o start.safetensors
    hyperrestore train recipes/photo.toml --data PHOTOS --start-from start.safetensors --minutes 140

B is that of the denoiser. Its W is divided between brightness and colours, so that for white noise, equally
strong in both, the result is exactly the denoiser. W of the quality is what leads from there to the JPEG
model at the reference quality, as nearly as the rank allows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from hyperrestore.learn.model import save_model
from hyperrestore.learn.recipe import Recipe, read_recipe
from hyperrestore.network.architectures import build, load_network
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.network.convolutions import HyperConvolution
from hyperrestore.network.hyper import Hypernetwork, materialize
from hyperrestore.restore.restorer import model_path

COLOURS = 0.5  # the share of W that follows the colour noise


def layers_of(network: Hypernetwork) -> dict[str, HyperConvolution]:
    """The adjustable convolutions of a network, by their names."""
    return {name: one for name, one in network.named_modules() if isinstance(one, HyperConvolution)}


@torch.no_grad()
def begin(denoiser: Hypernetwork, dejpeg: Hypernetwork, recipe: Recipe) -> Hypernetwork:
    """A network of the recipe that denoises as the denoiser does, and repairs JPEG nearly as `dejpeg`."""
    network = build(recipe.network, recipe.scales)
    noise, (quality,) = layers_of(denoiser), dejpeg.scales
    repair = dict(materialize(dejpeg, quality.reference).named_modules())
    shares = torch.tensor([1 - COLOURS, COLOURS])
    for name, layer in layers_of(network).items():
        source, target = noise[name], repair[name.removeprefix("network.")]
        slopes = [share * source.slopes() for share in shares]
        layer.weight.copy_(source.weight)
        layer.set_slopes(torch.cat([*slopes, (target.weight - source.weight)[None]]))
        layer.bias.copy_(source.bias)
        bias = [share * source.bias_slope for share in shares]
        layer.bias_slope.copy_(torch.cat([*bias, (target.bias - source.bias)[None]]))
    return network


def main() -> None:
    """Parse the arguments, and write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--denoise", default="denoise", help="model for noise")
    parser.add_argument("--dejpeg", default="dejpeg", help="model for JPEG, of the same widths and blocks")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    denoiser, dejpeg = (
        load_network(load_checkpoint(model_path(model))) for model in (options.denoise, options.dejpeg)
    )
    network = begin(denoiser, dejpeg, recipe)
    save_model(options.out, recipe, network, {"steps": 0, "started_from": [options.denoise, options.dejpeg]})


if __name__ == "__main__":
    main()

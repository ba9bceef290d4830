"""Initial weights for the network on the small picture, derived from a network on the enlarged picture.

    python benchmarks/begin_upscaling.py OLD recipes/upscale.toml --data PHOTOS -o start.safetensors
    hyperrestore train recipes/upscale.toml --data PHOTOS --start-from start.safetensors --minutes 140

OLD is an upscaling model of kind "unet", as it shipped up to version 0.15.0. At scale 2 its half resolution
is that of the small picture. From there on its layers are reused, with their kernels for scale 2 as B and
W = 0. The layers before that, on the enlarged picture, become one convolution of the small picture, fitted by
least squares over photos. The last convolution starts at zero, so the first result is the cubic enlargement.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperrestore.learn.model import save_model
from hyperrestore.learn.photos import find_photos, split_photos
from hyperrestore.learn.recipe import Recipe, read_recipe
from hyperrestore.measure.degrade import shrink
from hyperrestore.network.architectures import RestorationUNet, build, load_network
from hyperrestore.network.checkpoint import load_checkpoint
from hyperrestore.network.hyper import Hypernetwork, materialize
from hyperrestore.picture.file import read_picture
from hyperrestore.resample import resize_bicubic

SCALE = 2.0  # of the old network's finest resolution to its second
PHOTOS, SIDE, BORDER = 80, 256, 2  # how many photos the first convolution is fitted on, and how much of each


def coarser_layers(old: RestorationUNet) -> dict[str, Tensor]:
    """The weights of a U-net below its finest resolution, by their names in a network without it."""
    layers = {}
    for name, value in old.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "middle":
            layers[name] = value
        elif part in ("encoders", "down", "up", "decoders"):
            index, _, rest = rest.partition(".")
            if int(index) > 0:
                layers[f"{part}.{int(index) - 1}.{rest}"] = value
    return layers


@torch.no_grad()
def fitted_head(old: RestorationUNet, photos: list[Path]) -> tuple[Tensor, Tensor]:
    """Kernel (c, 3, 3, 3) and bias (c,) that give on small pictures what OLD gives on the enlarged ones."""
    seen, wanted = [], []
    for photo in photos:
        clean = read_picture(photo).pixels[:, :SIDE, :SIDE]
        if clean.shape != (3, SIDE, SIDE):
            continue
        small = shrink(clean, SCALE)
        large = resize_bicubic(small, SIDE, SIDE, antialias=True)
        features = old.down[0](old.encoders[0](old.head(torch.from_numpy(large)[None])))[0]
        windows = F.unfold(torch.from_numpy(small)[None], 3, padding=1)[0].view(27, *features.shape[1:])
        inner = slice(BORDER, -BORDER)
        seen.append(windows[:, inner, inner].flatten(1).double())
        wanted.append(features[:, inner, inner].flatten(1).double())
    inputs = torch.cat(seen, dim=1)
    inputs = torch.cat([inputs, torch.ones_like(inputs[:1])])  # (28, n)
    gram = inputs @ inputs.mT
    fit = torch.linalg.solve(gram + 1e-3 * torch.eye(28).double(), inputs @ torch.cat(wanted, dim=1).mT)
    return fit[:27].mT.reshape(-1, 3, 3, 3).float(), fit[27].float()


def begin(old: Hypernetwork, recipe: Recipe, photos: list[Path]) -> Hypernetwork:
    """A network of the recipe that starts with those layers of the old one that fit."""
    plain = materialize(old, SCALE).eval()
    assert isinstance(plain, RestorationUNet)
    network = build(recipe.network, recipe.scales)
    weights = coarser_layers(plain)
    weights["head.weight"], weights["head.bias"] = fitted_head(plain, photos)
    own = dict(network.network.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)
    return network


def main() -> None:
    """Parse the arguments, and write the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="clean photos")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    training, _ = split_photos(find_photos(options.data))
    chosen = [file.path for file in training[:: max(1, len(training) // PHOTOS)]]
    network = begin(load_network(load_checkpoint(options.old)), recipe, chosen)
    save_model(options.out, recipe, network, {"steps": 0, "started_from": options.old.name})


if __name__ == "__main__":
    main()

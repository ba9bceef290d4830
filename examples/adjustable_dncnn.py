"""A network of your own, trained at one noise level, becomes adjustable by minutes of fine-tuning.

    python examples/adjustable_dncnn.py PHOTOS

The network is a small DnCNN (arXiv 1608.03981, section 3, without batch normalisation) in plain torch,
trained at sigma 25. `hyperize` makes it adjustable: at first every level gives the very same network. Then it
is fine-tuned at random levels, and both are measured on photos that neither has seen.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from hyperrestore import LevelScale, hyperize, read_picture

SIGMA = LevelScale("sigma", low=0, high=100, trained=(0, 75), origin=0, reference=50)
FIXED = 25.0
MEASURED = (5.0, 15.0, 25.0, 35.0, 50.0, 75.0)
HELD_OUT = 8  # one photo in so many
SIDE = 256  # of what is measured of a photo, at most

Run = Callable[[Tensor, Tensor], Tensor]  # noisy (b, 3, h, w), sigma (b,) -> restored


class DnCNN(nn.Module):
    """Convolutions and ReLUs that predict the noise."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, 3, h, w), without the noise."""
        restored: Tensor = image - self.layers(image)
        return restored


def read_photos(folder: Path, crop: int) -> list[Tensor]:
    """The photos below a folder that are as large as a crop, (3, h, w), values in [0, 1]."""
    suffixes = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    photos = [torch.from_numpy(read_picture(path).pixels).expand(3, -1, -1) for path in paths]
    return [photo for photo in photos if min(photo.shape[1:]) >= crop]


def draw_crops(photos: list[Tensor], count: int, crop: int) -> Tensor:
    """Random crops (count, 3, crop, crop), half of them flipped."""
    crops = []
    for index in torch.randint(len(photos), (count,)).tolist():
        top, left = (int(torch.randint(side - crop + 1, ())) for side in photos[index].shape[1:])
        piece = photos[index][:, top : top + crop, left : left + crop]
        crops.append(piece.flip(2) if torch.rand(()) < 0.5 else piece)
    return torch.stack(crops)


def add_noise(clean: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian noise of one sigma for each picture, on the 8-bit scale."""
    return clean + torch.randn_like(clean) * sigma.view(-1, 1, 1, 1) / 255


def train(
    network: nn.Module, run: Run, photos: list[Tensor], draw: Callable[[int], Tensor], *,
    steps: int, crop: int, rate: float,
) -> None:  # fmt: skip
    """Minimise the mean absolute error at levels that `draw` draws."""
    optimizer = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for _ in range(steps):
        clean, sigma = draw_crops(photos, 8, crop), draw(8)
        loss = (run(add_noise(clean, sigma), sigma) - clean).abs().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


@torch.no_grad()
def measure(run: Run, photos: list[Tensor], sigma: float) -> float:
    """Mean PSNR, dB, over the middles of photos, with the same noise for every network."""
    generator, levels, decibels = torch.Generator().manual_seed(0), torch.tensor([sigma]), []
    for photo in photos:
        height, width = photo.shape[1:]
        top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
        clean = photo[None, :, top : top + SIDE, left : left + SIDE]
        noisy = clean + torch.randn(clean.shape, generator=generator) * sigma / 255
        error = (run(noisy, levels).clamp(0, 1) - clean).square().mean()
        decibels.append(-10 * math.log10(float(error)))
    return sum(decibels) / len(decibels)


def main(arguments: list[str] | None = None) -> None:
    """Train, make adjustable, fine-tune, and print both curves."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of clean photos, two or more")
    parser.add_argument("--steps", type=int, default=2000, help="of the fixed network (2000)")
    parser.add_argument("--fine-tune", type=int, default=1000, help="steps of the adjustable one (1000)")
    parser.add_argument("--width", type=int, default=32, help="channels (32)")
    parser.add_argument("--depth", type=int, default=7, help="convolutions (7)")
    parser.add_argument("--crop", type=int, default=48, help="side of a crop, pixels (48)")
    options = parser.parse_args(arguments)
    photos = read_photos(options.photos, options.crop)
    seen = [photo for number, photo in enumerate(photos) if number % HELD_OUT]
    unseen = photos[::HELD_OUT][:20]
    if not seen:
        parser.error(f"{options.photos} holds {len(photos)} photos of {options.crop} pixels; give two")

    torch.manual_seed(0)
    fixed = DnCNN(options.width, options.depth)
    run_fixed: Run = lambda noisy, sigma: fixed(noisy)  # noqa: E731
    train(
        fixed, run_fixed, seen, lambda count: torch.full((count,), FIXED),
        steps=options.steps, crop=options.crop, rate=1e-3,
    )  # fmt: skip
    adjustable = hyperize(fixed, SIGMA)
    train(
        adjustable, adjustable, seen, lambda count: 75 * torch.rand(count),
        steps=options.fine_tune, crop=options.crop, rate=5e-4,
    )  # fmt: skip

    print(f"PSNR, dB, of {len(unseen)} photos that were not trained on")
    print(f"{'sigma':>6} {'noisy':>6} {f'fixed at {FIXED:g}':>12} {'adjustable':>11}")
    for sigma in MEASURED:
        runs: tuple[Run, ...] = (lambda noisy, sigma: noisy, run_fixed, adjustable)
        noisy, one, every = (measure(run, unseen, sigma) for run in runs)
        print(f"{sigma:>6g} {noisy:>6.2f} {one:>12.2f} {every:>11.2f}")


if __name__ == "__main__":
    main()

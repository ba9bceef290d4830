"""One denoiser for other problems: a photograph is deblurred and inpainted, by plug-and-play.

    pip install 'hyperrestore[torch,demo]' deepinv ptwt
    python examples/plug_and_play.py

The algorithm is deepinv's DPIR, eight steps, the same for every denoiser: a step towards the data, then
denoising at a level that falls from step to step. That is what an adjustable denoiser is for. It is compared
with the denoisers of deepinv that have no weights, total variation and wavelets. Their thresholds are no
noise levels, so each is run with several factors, and its best result counts; ours is run once.
"""

from collections.abc import Callable

import deepinv
import numpy as np
import torch
from deepinv.physics.functional import conv2d, gaussian_blur
from skimage import data
from torch import Tensor

from hyperrestore.hosts.deepinv import Denoiser
from hyperrestore.measure.metrics import psnr

SIGMA = 2 / 255  # noise of what is measured
BLUR = 1.6  # standard deviation, pixels
MISSING = 0.6  # share of the pixels
FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0)  # of sigma, as thresholds

Denoise = Callable[[Tensor, Tensor], Tensor]


def read_photograph() -> Tensor:
    """A part of one that scikit-image carries, (1, 3, 96, 128)."""
    part = np.moveaxis(data.chelsea()[80:176, 130:258], -1, 0)
    return torch.from_numpy(np.ascontiguousarray(part, np.float32) / 255)[None]


def problems(clean: Tensor) -> dict[str, tuple[deepinv.physics.Physics, Tensor, Tensor]]:
    """For each problem how it is measured, what was measured, and where to start."""
    torch.manual_seed(0)
    size, noise = tuple(clean.shape[1:]), deepinv.physics.GaussianNoise(sigma=SIGMA)
    blur = deepinv.physics.BlurFFT(img_size=size, filter=gaussian_blur(sigma=(BLUR, BLUR)), noise_model=noise)
    known = (torch.rand(1, 1, *size[1:]) >= MISSING).float()
    holes = deepinv.physics.Inpainting(img_size=size, mask=known, noise_model=noise)
    blurred, sparse = blur(clean), holes(clean)
    return {"deblurring": (blur, blurred, blurred), "inpainting": (holes, sparse, filled(sparse, known))}


def filled(sparse: Tensor, known: Tensor) -> Tensor:
    """Missing pixels become a mean of those around them."""
    kernel = gaussian_blur(sigma=(1.5, 1.5))
    weights = conv2d(known, kernel, padding="reflect").clamp(min=1e-6)
    return torch.where(known > 0, sparse, conv2d(sparse * known, kernel, padding="reflect") / weights)


@torch.no_grad()
def solve(physics: deepinv.physics.Physics, measured: Tensor, start: Tensor, denoise: Denoise) -> Tensor:
    """Eight steps of DPIR."""
    restored: Tensor = deepinv.optim.DPIR(sigma=SIGMA, denoiser=denoise)(measured, physics, init=start)
    return restored


def with_threshold(denoiser: Denoise, factor: float) -> Denoise:
    """A denoiser whose threshold is a share of sigma."""
    return lambda x, sigma: denoiser(x, factor * float(sigma))


def main() -> None:
    """Print the PSNR of every problem and denoiser."""
    clean = read_photograph()

    def score(image: Tensor) -> float:
        return psnr(image[0].clamp(0, 1).numpy(), clean[0].numpy())

    without_weights = {
        "total variation": deepinv.models.TVDenoiser(n_it_max=100),
        "wavelets": deepinv.models.WaveletDictDenoiser(level=3, list_wv=["db8", "db4"], max_iter=10),
    }
    ours = Denoiser()
    print(f"PSNR, dB{'start':>15}{''.join(f'{name:>17}' for name in without_weights)}{'hyperrestore':>14}")
    for name, (physics, measured, start) in problems(clean).items():
        best = [
            max(
                score(solve(physics, measured, start, with_threshold(denoiser, factor))) for factor in FACTORS
            )
            for denoiser in without_weights.values()
        ]
        own = score(solve(physics, measured, start, ours))
        print(f"{name:<12}{score(start):>11.2f}{''.join(f'{value:>17.2f}' for value in best)}{own:>14.2f}")


if __name__ == "__main__":
    main()

"""Restore a real photograph at three levels and say where the pictures lie.

The photograph is one that scikit-image carries; noise of a known strength is added to it.
"""

import sys
from pathlib import Path

import numpy as np
from skimage import data

from hyperrestore import Picture, PictureInfo, Restorer, write_picture
from hyperrestore.degrade import gaussian_noise
from hyperrestore.metrics import psnr

SIGMA = 30


def main(folder: Path) -> None:
    """Write the clean, the noisy and three restored pictures, and all side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    clean = np.ascontiguousarray(np.moveaxis(data.chelsea(), -1, 0), np.float32) / 255
    noisy = gaussian_noise(clean, SIGMA, np.random.default_rng(0)).clip(0, 1)
    restorer = Restorer.load("denoise")
    pictures = {"clean": clean, f"noisy-sigma-{SIGMA}": noisy}
    for level in (SIGMA / 2, SIGMA, 2 * SIGMA):
        pictures[f"restored-level-{level:g}"] = restorer(noisy, level)
    pictures["all-side-by-side"] = np.concatenate(list(pictures.values()), axis=2)
    for name, pixels in pictures.items():
        path = folder / f"{name}.png"
        info = PictureInfo(width=pixels.shape[2], height=pixels.shape[1], channels=3)
        write_picture(path, Picture(pixels, None, info), overwrite=True)
        score = (
            f"{psnr(pixels, clean):6.2f} dB" if pixels.shape == clean.shape and pixels is not clean else ""
        )
        print(f"{path!s:40} {score}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))

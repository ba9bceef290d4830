"""Restore a real photograph, for every task, and say where the pictures lie.

The photograph is one that scikit-image carries; it is damaged to a known level: noise is added, it is saved
as a small JPEG file, or it is shrunk.
"""

import sys
from pathlib import Path

import numpy as np
from skimage import data

from hyperrestore import Picture, PictureInfo, Restorer, write_picture
from hyperrestore.measure.degrade import gaussian_noise, jpeg
from hyperrestore.measure.metrics import psnr
from hyperrestore.resample import resize_bicubic

SIGMA, QUALITY, SCALE = 30, 15, 3


def main(folder: Path) -> None:
    """Write the clean, the damaged and the restored pictures, and those of each task side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    clean = np.ascontiguousarray(np.moveaxis(data.chelsea(), -1, 0), np.float32) / 255  # (3, 300, 451)
    height, width = clean.shape[1] // SCALE, clean.shape[2] // SCALE
    clean = clean[:, : SCALE * height, : SCALE * width]
    noisy = gaussian_noise(clean, SIGMA, np.random.default_rng(0)).clip(0, 1)
    blocky = jpeg(clean, QUALITY)
    small = resize_bicubic(clean, height, width, antialias=True).clip(0, 1)
    save(folder / "clean.png", clean, clean)
    denoise = Restorer.load("denoise")
    pictures = {f"noisy-sigma-{SIGMA}": noisy}
    for sigma in (SIGMA / 2, SIGMA, 2 * SIGMA):
        pictures[f"denoised-level-{sigma:g}"] = denoise(noisy, sigma)
    save_all(folder, "denoise", pictures, clean)
    dejpeg = Restorer.load("dejpeg")
    pictures = {f"jpeg-quality-{QUALITY}": blocky}
    for quality in (3 * QUALITY, QUALITY, QUALITY / 3):
        pictures[f"repaired-level-{quality:g}"] = dejpeg(blocky, quality)
    save_all(folder, "dejpeg", pictures, clean)
    bicubic = resize_bicubic(small, *clean.shape[1:], antialias=True).clip(0, 1)
    pictures = {
        f"bicubic-scale-{SCALE}": bicubic,
        f"upscaled-scale-{SCALE}": Restorer.load("upscale")(small, SCALE),
    }
    save_all(folder, "upscale", pictures, clean)


def save_all(folder: Path, task: str, pictures: dict[str, np.ndarray], clean: np.ndarray) -> None:
    """Write the pictures of a task, and all of them and the clean one side by side."""
    for name, pixels in pictures.items():
        save(folder / f"{name}.png", pixels, clean)
    save(folder / f"{task}-side-by-side.png", np.concatenate([*pictures.values(), clean], axis=2), clean)


def save(path: Path, pixels: np.ndarray, clean: np.ndarray) -> None:
    """Write one picture, and say where it is and how near to the clean one."""
    info = PictureInfo(width=pixels.shape[2], height=pixels.shape[1], channels=3)
    write_picture(path, Picture(pixels, None, info), overwrite=True)
    near = "" if pixels is clean or pixels.shape != clean.shape else f"{psnr(pixels, clean):6.2f} dB"
    print(f"{path!s:40} {near}".rstrip())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))

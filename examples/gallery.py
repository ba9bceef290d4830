"""Make the pictures of the documentation: damaged, restored and clean photos side by side.

python examples/gallery.py docs/images/gallery
"""

import sys
from pathlib import Path

import numpy as np
from skimage import data

from hyperrestore import Picture, PictureInfo, Restorer, write_picture
from hyperrestore.measure.degrade import gaussian_noise, jpeg, shrink
from hyperrestore.resample import resize_bicubic

SIGMA, QUALITY, SCALE, GAP = 40, 10, 3, 6


def crop(photo: np.ndarray, top: int, left: int, height: int = 270, width: int = 300) -> np.ndarray:
    """A part of an 8-bit photo (h, w, 3) as (3, height, width), values in [0, 1]."""
    part = photo[top : top + height, left : left + width]
    return np.ascontiguousarray(np.moveaxis(part, -1, 0), np.float32) / 255


def save(path: Path, *pictures: np.ndarray) -> None:
    """Write pictures (3, h, w) of one height side by side, with white between them."""
    gap = np.ones((3, pictures[0].shape[1], GAP), np.float32)
    parts = [part for picture in pictures for part in (gap, picture.clip(0, 1).astype(np.float32))][1:]
    sheet = np.concatenate(parts, axis=2)
    info = PictureInfo(sheet.shape[2], sheet.shape[1], 3)
    write_picture(path, Picture(sheet, None, info), overwrite=True)
    print(path)


def main(folder: Path) -> None:
    """Write every picture of the gallery into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    cat, astronaut, coffee = (
        crop(data.chelsea(), 20, 80),
        crop(data.astronaut(), 10, 90),
        crop(data.coffee(), 60, 120),
    )

    denoise = Restorer.load("denoise")
    noisy = gaussian_noise(cat, SIGMA, np.random.default_rng(0)).clip(0, 1)
    save(folder / "denoise.jpg", noisy, denoise(noisy, SIGMA), cat)
    narrow = noisy[:, 40:220, 60:220]
    save(folder / "dial.jpg", *(denoise(narrow, sigma) for sigma in (10, 20, 40, 60, 75)))

    blocky = jpeg(coffee, QUALITY)
    save(folder / "dejpeg.jpg", blocky, Restorer.load("dejpeg")(blocky, QUALITY), coffee)

    small = shrink(astronaut, SCALE)
    large = resize_bicubic(small, *astronaut.shape[1:], antialias=True)
    save(folder / "upscale.jpg", large, Restorer.load("upscale")(small, SCALE), astronaut)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/images/gallery"))

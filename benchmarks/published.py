"""Published figures of other methods; none of them is measured here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A method's source and its published figures; none of them is measured here.

    Attributes:
        table: Of `quality_tables.TABLES`, which has the same protocol.
        method: Its name.
        source: Its publication.
        parameters: How many, in words.
        one_network: Whether one network serves all levels.
        psnr: By level, dB.
        multiply_adds: Per pixel, if they can be counted from the structure.
    """

    table: str
    method: str
    source: str
    parameters: str
    one_network: bool
    psnr: dict[float, float]
    multiply_adds: float | None = None


# Multiply-adds per pixel, counted from the published structures: kernel * channels in * channels out, summed
# over the convolutions, divided by the square of the stride at which they run.
FFDNET = 9 * (13 * 96 + 10 * 96 * 96 + 96 * 12) / 4  # 12 convolutions at half resolution
CDNCNN = 9 * (3 * 64 + 18 * 64 * 64 + 64 * 3)  # 20 convolutions: that is 0.67 M parameters (17: 0.56 M)
BRDNET = 2 * 9 * (3 * 64 + 15 * 64 * 64 + 64 * 3) + 9 * 6 * 3  # two branches of 17, joined by one
# DRUNet: four residual blocks of two convolutions at 64, 128 and 256 channels, down and up (each resolution
# costs the same), and at 512 in the middle; 2x2 convolutions between them, down and up; head and tail.
DRUNET = 9 * (4 * 64 + 64 * 3) + 3 * 16 * 9 * 64**2 + 8 * 9 * 512**2 / 8**2 + 6 * (4 * 64 * 128 / 2**2)
DNCNN3 = 9 * (64 + 18 * 64 * 64 + 64)  # 20 convolutions on luminance, at the size of the result; VDSR alike
NOISE, COLOUR, GREY = "CBSD68-standard-colour", "LIVE1-standard-colour", "LIVE1-standard-grey"
SIZE = "Set5-standard-colour"
PUBLISHED = [
    Published(NOISE, "CBM3D", "ICIP 2007", "-", True,
              {15: 33.52, 25: 30.71, 35: 28.89, 50: 27.38, 75: 25.74}),
    Published(NOISE, "FFDNet", "arXiv 1710.04026", "0.85 M", True,
              {15: 33.87, 25: 31.21, 35: 29.58, 50: 27.96, 75: 26.24}, FFDNET),
    Published(NOISE, "CDnCNN-S", "arXiv 1608.03981", "0.67 M each", False,
              {15: 33.99, 25: 31.31, 35: 29.66, 50: 28.01}, CDNCNN),
    Published(NOISE, "BRDNet", "Neural Networks 121, 2020", "about 1.1 M each", False,
              {15: 34.10, 25: 31.43, 50: 28.16}, BRDNET),
    Published(NOISE, "InstructIR-3D", "arXiv 2401.16468", "15.8 M", True, {15: 34.15, 25: 31.52, 50: 28.30}),
    Published(NOISE, "GRL-T", "arXiv 2303.00748", "0.88 M each", False, {15: 34.30, 25: 31.66, 50: 28.45}),
    Published(NOISE, "DRUNet", "arXiv 2008.13751", "32.6 M", True, {15: 34.30, 25: 31.69, 50: 28.51}, DRUNET),
    Published(NOISE, "GRL-S", "arXiv 2303.00748", "3.12 M each", False, {15: 34.36, 25: 31.72, 50: 28.51}),
    Published(NOISE, "Xformer / GRL-B", "arXiv 2303.06440 / 2303.00748", "25 M / 20 M each", False,
              {15: 34.45, 25: 31.82, 50: 28.63}),
    Published(COLOUR, "QGAC", "arXiv 2004.09320", "-", True, {10: 27.62, 20: 29.88, 30: 31.17, 40: 32.05}),
    Published(COLOUR, "FBCNN", "arXiv 2109.14573", "71.9 M", True,
              {10: 27.77, 20: 30.11, 30: 31.43, 40: 32.34}),
    Published(COLOUR, "GRL-S", "arXiv 2303.00748", "3.12 M each", False,
              {10: 28.13, 20: 30.49, 30: 31.85, 40: 32.79}),
    Published(GREY, "DnCNN-3", "arXiv 1608.03981", "0.67 M", True,
              {10: 29.19, 20: 31.59, 30: 32.98, 40: 33.96}, DNCNN3),
    Published(GREY, "CFSNet", "arXiv 1904.00634", "1.73 M", True,
              {10: 29.38, 20: 31.71, 30: 33.15, 40: 34.17}),
    Published(GREY, "QGAC", "arXiv 2004.09320", "-", True, {10: 29.51, 20: 31.83, 30: 33.20, 40: 34.16}),
    Published(GREY, "FBCNN", "arXiv 2109.14573", "71.9 M", True,
              {10: 29.75, 20: 32.13, 30: 33.54, 40: 34.53}),
    Published(GREY, "SwinIR", "arXiv 2108.10257", "11.5 M each", False,
              {10: 29.86, 20: 32.25, 30: 33.69, 40: 34.67}),
    Published("Classic5-standard-grey", "FBCNN", "arXiv 2109.14573", "71.9 M", True,
              {10: 30.12, 20: 32.31, 30: 33.54, 40: 34.35}),
    Published("LIVE1-hyperres-grey", "HyperRes, network for one quality", "arXiv 2206.05970", "-", False,
              {10: 28.82}),
    Published("LIVE1-hyperres-grey", "HyperRes", "arXiv 2206.05970", "-", True, {10: 28.81}),
    Published(SIZE, "VDSR", "arXiv 1511.04587", "0.67 M", True, {2: 37.53, 3: 33.67, 4: 31.35}, DNCNN3),
    Published(SIZE, "DnCNN-3", "arXiv 1608.03981", "0.67 M", True, {2: 37.58, 3: 33.75, 4: 31.40}, DNCNN3),
    Published(SIZE, "SRMDNF", "arXiv 1712.06116", "1.5 M each", False, {2: 37.79, 3: 34.12, 4: 31.96}),
    Published(SIZE, "IMDN", "arXiv 1909.11856", "0.7 M each", False, {2: 38.00, 3: 34.36, 4: 32.21}),
    Published(SIZE, "SwinIR-light", "arXiv 2108.10257", "0.9 M each", False,
              {2: 38.14, 3: 34.62, 4: 32.44}),
    Published(SIZE, "CATANet", "arXiv 2503.06896", "0.5 M each", False, {2: 38.28, 3: 34.75, 4: 32.58}),
]  # fmt: skip

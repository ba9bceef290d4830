"""Real noise: pairs of a noisy picture and the mean of many -> PSNR of what is restored.

    python benchmarks/real.py FOLDER                   # with NAME_real.* and NAME_mean.*, as PolyU has them
    python benchmarks/real.py FOLDER --peers           # also BM3D and non-local means at their best; slow
    python benchmarks/real.py FOLDER --save            # record the results and update docs/quality.md

PSNR is on RGB, with the result in 8 bits. `restore` estimates its levels from the file, and may find JPEG as
well. The denoiser, BM3D and non-local means are tried at several sigmas; the table gives the best for each
crop, and the best for all crops together.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import quality
from peers import PEERS
from quality_measure import digest_of
from quality_tables import name_of
from real_records import Real, table, write_real

from hyperrestore import Restorer, __version__, read_picture, run_tiled
from hyperrestore.arrays import Pixels
from hyperrestore.detect.findings import inspect
from hyperrestore.level import Task
from hyperrestore.measure.evaluate import Evaluated
from hyperrestore.measure.metrics import psnr, to_8bit
from hyperrestore.measure.pictures import find_pictures
from hyperrestore.restore.file import restore_file

SIGMAS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
WORSE = 0.1  # dB

Pairs = list[tuple[Path, Path]]  # noisy, mean


def find_pairs(folder: Path) -> Pairs:
    """The pairs of a folder, by name."""
    pictures = {path.stem: path for path in find_pictures(folder)}
    pairs = [
        (path, pictures[mean])
        for stem, path in pictures.items()
        if stem.endswith("_real") and (mean := stem.removesuffix("_real") + "_mean") in pictures
    ]
    if not pairs:
        raise SystemExit(f"{folder}: holds no pair NAME_real.* and NAME_mean.*")
    return pairs


def restore_all(pairs: Pairs) -> list[float]:
    """PSNR of the result of `restore` for each file."""
    restorers, scores = [Restorer.load(Task.DENOISE), Restorer.load(Task.DEJPEG)], []
    with TemporaryDirectory() as name:
        for noisy, mean in pairs:
            restored = Path(name, f"{noisy.stem}.png")
            restore_file(restorers, noisy, restored, None)
            scores.append(psnr(read_picture(restored).pixels, read_picture(mean).pixels))
    return scores


def at_levels(method: Evaluated, pairs: Pairs, levels: Sequence[float]) -> np.ndarray:
    """PSNR of each crop at each level, (levels, crops)."""

    def score(restore: Callable[[Pixels], Pixels], noisy: Path, mean: Path) -> float:
        return psnr(to_8bit(restore(read_picture(noisy).pixels)), read_picture(mean).pixels)

    scores = []
    for level in levels:
        backend = method.at(level, bits=8)
        scores.append([score(lambda picture: run_tiled(backend, picture), *pair) for pair in pairs])  # noqa: B023
    return np.array(scores)


def measure(folder: Path, *, peers: bool) -> list[Real]:
    """All rows of a folder."""
    pairs = find_pairs(folder)
    digest, today = digest_of([noisy for noisy, _ in pairs]), datetime.datetime.now(tz=datetime.UTC).date()
    given = np.array([psnr(read_picture(noisy).pixels, read_picture(mean).pixels) for noisy, mean in pairs])

    def row(method: str, scores: Sequence[float], found: int = -1) -> Real:
        worse = int(np.sum(np.asarray(scores) <= given - WORSE))
        mean = round(float(np.mean(scores)), 4)
        return Real(
            folder.resolve().name, method, len(pairs), digest, mean, worse, found, __version__, f"{today}"
        )

    found = sum(Task.DENOISE in inspect(noisy).levels for noisy, _ in pairs)
    rows = [row("input", list(given)), row("restore", restore_all(pairs), found)]
    methods: list[tuple[str, Evaluated]] = [("denoise", Restorer.load(Task.DENOISE))]
    methods += [(name_of(key), PEERS[key].make()) for key in ("bm3d", "nlm") if peers]
    for name, method in methods:
        scores = at_levels(method, pairs, SIGMAS)
        best = int(scores.mean(axis=1).argmax())
        rows.append(row(f"{name}, the best sigma for each crop", list(scores.max(axis=0))))
        rows.append(row(f"{name}, sigma {SIGMAS[best]:g} for all", list(scores[best])))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and save the results if requested."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="with NAME_real.* and NAME_mean.*")
    parser.add_argument("--peers", action="store_true", help="also BM3D and non-local means, which take long")
    parser.add_argument("--save", action="store_true", help="record the results and update docs/quality.md")
    options = parser.parse_args(arguments)
    rows = measure(options.folder, peers=options.peers)
    print(f"{rows[0].pairs}, {rows[0].crops} crops\n\n{table(rows)}")
    if options.save:
        write_real(quality.RECORDS / quality.REAL, rows)
        quality.write_page(quality.RECORDS, quality.DOCS, ())


if __name__ == "__main__":
    main()

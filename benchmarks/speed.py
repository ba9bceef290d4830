"""Time and memory of restoring, ours against the paper's network in one run, halos included.

    python benchmarks/speed.py --megapixels 1 12 --precision fp32 bf16      # time, both networks in turn
    python benchmarks/speed.py --megapixels 1 12 --precision int8           # ours int8, the paper's bf16
    python benchmarks/speed.py --memory --megapixels 12 100                 # peak memory of the command line
    python benchmarks/speed.py --memory --megapixels 12 --task upscale      # of ours, enlarged four times
    python benchmarks/speed.py --upscale 2 4 --against MODEL                # time of upscaling, two models
    python benchmarks/speed.py --megapixels 12 --save                       # record, and update docs/speed.md

Time is that of `run_tiled` on a random picture in memory: the median of `--rounds` in which the networks take
turns, after warming up on a part of the picture. Memory is the largest resident size of a whole
`hyperrestore` process that reads and writes a picture file. The paper's network has untrained weights, which
does not change its speed. The ceiling is the engine's own product of two large matrices in that precision;
pixels that halos compute twice do not count.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from machine import cpu_name, usable_cores
from speed_page import page
from speed_records import Memory, Time, Upscaling, read_speeds, with_records, write_speeds

from hyperrestore import Picture, PictureInfo, Restorer, __version__, run_tiled
from hyperrestore.atomic import write_atomically
from hyperrestore.picture.writer import create_picture
from hyperrestore.restore.restorer import MODELS
from hyperrestore.run.engine import TILE

ROOT = Path(__file__).parents[1]
RECORDS, PAGE = ROOT / "benchmarks" / "results" / "speed.json", ROOT / "docs" / "speed.md"
LEVEL = 25.0
WORDS = {"denoise": ["-l", f"{LEVEL:g}"], "dejpeg": ["-l", "20"], "upscale": ["-s", "4"]}


def paper_model(folder: Path) -> Path:
    """Write the paper's network as a model with untrained weights."""
    from hyperrestore.learn.model import save_model
    from hyperrestore.learn.recipe import read_recipe
    from hyperrestore.network.architectures import build
    from hyperrestore.run.export import export_onnx

    recipe = read_recipe(ROOT / "recipes" / "paper-denoise.toml")
    path = folder / "paper.safetensors"
    save_model(path, recipe, build(recipe.network, recipe.scale), {})
    export_onnx(path)
    return path


def measured_by() -> dict[str, str | int]:
    """The entries of a record on machine, version and date."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return {"cpu": cpu_name(), "cores": usable_cores(), "version": __version__, "date": today}


def sides(megapixels: float) -> tuple[int, int]:
    """Height and width of a 3:2 picture."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    return height, round(megapixels * 1e6 / height)


def ceiling(precision: str, *, side: int = 2048) -> float:
    """Multiply-adds per second of the runtime's product of two square matrices: the machine's limit."""
    import openvino
    from openvino import opset13

    left = opset13.parameter([side, side], np.float32)
    right = opset13.constant(np.random.default_rng(0).random((side, side), np.float32))
    model = openvino.Model([opset13.matmul(left, right, False, False)], [left])
    hint = "bf16" if precision == "bf16" else "f32"
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    request, matrix = compiled.create_infer_request(), np.ones((side, side), np.float32)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        request.infer([matrix])
        seconds.append(time.perf_counter() - start)
    return side**3 / min(seconds)


def cost(model: Path) -> float:
    """Multiply-adds of a model's network per pixel."""
    from hyperrestore.network.architectures import load_network, multiply_adds
    from hyperrestore.network.checkpoint import load_checkpoint
    from hyperrestore.network.hyper import materialize

    return multiply_adds(materialize(load_network(load_checkpoint(model)), LEVEL))


def measure_time(megapixels: float, precision: str, tile: int, rounds: int, paper: Path) -> Time:
    """Print the median seconds of both networks, their ratio, and their share of the ceiling."""
    height, width = sides(megapixels)
    picture = np.random.default_rng(0).random((3, height, width), np.float32)
    # Nothing is calibrated for the paper's network, whose weights are untrained.
    precisions = {"ours": precision, "paper": "bf16" if precision == "int8" else precision}
    models = {"ours": MODELS / "denoise.safetensors", "paper": paper}
    backends = {
        name: Restorer.load(model, precision=precisions[name]).at(LEVEL, bits=8)  # type: ignore[arg-type]
        for name, model in models.items()
    }
    for backend in backends.values():
        run_tiled(backend, picture[:, : 2 * tile, : 2 * tile], size=tile)
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(rounds):
        for name, backend in backends.items():
            start = time.perf_counter()
            run_tiled(backend, picture, size=tile)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    gflops, shares = {}, {}
    for name, median in medians.items():
        speed = cost(models[name]) * height * width / median
        gflops[name] = round(2 * speed / 1e9, 1)
        shares[name] = 0.0 if precisions[name] == "int8" else round(speed / ceiling(precisions[name]), 3)
        share = f"  {shares[name]:.0%} of the ceiling" if shares[name] else ""
        print(
            f"{name:6} {width}x{height} ({megapixels:g} MP)  {precisions[name]}  tile {tile}  "
            f"halo {backends[name].halo:3}  {median:7.2f} s  {median / medians['paper']:.2f} of the paper's  "
            f"{gflops[name]:4.0f} GFLOP/s{share}",
            flush=True,
        )
    return Time(
        megapixels, precision, precisions["paper"], tile,
        round(medians["ours"], 3), round(medians["paper"], 3), **measured_by(),
        gflops=gflops["ours"], paper_gflops=gflops["paper"],
        share=shares["ours"], paper_share=shares["paper"],
    )  # fmt: skip


def measure_upscaling(
    megapixels: float, scale: float, precision: str, rounds: int, models: list[Path]
) -> list[Upscaling]:
    """Print the median seconds of models that enlarge a picture to some megapixels, and their ratio."""
    height, width = (round(side / scale) for side in sides(megapixels))
    picture = np.random.default_rng(0).random((3, height, width), np.float32)
    info = PictureInfo(width=width, height=height, channels=3, bits=8)
    restorers = {path: Restorer.load(path, precision=precision) for path in models}  # type: ignore[arg-type]
    seconds: dict[Path, list[float]] = {path: [] for path in models}
    for timed in (False, *(True,) * rounds):  # the first is to warm up
        for path, restorer in restorers.items():
            start = time.perf_counter()
            restorer(Picture(picture, None, info), scale)
            if timed:
                seconds[path].append(time.perf_counter() - start)
    medians = {path: statistics.median(times) for path, times in seconds.items()}
    for path, median in medians.items():
        print(
            f"{path.name}  to {megapixels:g} MP at scale {scale:g}  {precision}  {median:7.2f} s  "
            f"{median / medians[models[-1]]:.2f} of {models[-1].name}",
            flush=True,
        )
    return [
        Upscaling(path.stem, megapixels, scale, precision, round(median, 3), **measured_by())
        for path, median in medians.items()
    ]


def measure_memory(
    task: str, model: Path | None, megapixels: float, precision: str, tile: int | None, suffix: str, bits: int
) -> Memory:
    """Print the peak memory and the time of the whole command on a generated picture file.

    The model is ours, or the paper's network at that path.
    """
    height, width = sides(megapixels)
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, f"in{suffix}"), Path(name, f"out{suffix}")
        info = PictureInfo(width=width, height=height, channels=3, bits=bits)
        random = np.random.default_rng(0)
        ramp = np.linspace(0.2, 0.7, width, dtype=np.float32)
        with create_picture(source, info) as writer:
            for top in range(0, height, 256):
                noise = random.standard_normal((3, min(256, height - top), width), np.float32) * 0.1
                rows = np.clip(ramp + noise, 0, 1) * np.iinfo(info.dtype).max
                writer.write(rows.astype(info.dtype))
        command = [sys.executable, "-m", "hyperrestore.cli.main", task, str(source), "-o", str(target)]
        command += [*WORDS[task], "--precision", precision, *(["--tile", str(tile)] if tile else [])]
        command += ["--model", str(model)] if model else []
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"the command failed: {' '.join(command)}")
    peak = usage.ru_maxrss * 1024 / 1e9
    print(
        f"{'paper' if model else 'ours':6} {task} {' '.join(WORDS[task])}  {suffix[1:]:5} {bits:2} bit  "
        f"{width}x{height} ({megapixels:g} MP)  "
        f"{precision}  tile {tile or 'as by default'}  "
        f"{seconds:7.1f} s  peak {peak:.2f} GB",
        flush=True,
    )
    return Memory(
        "paper" if model else "ours", " ".join([task, *WORDS[task]]), f"{suffix[1:]}, {bits} bit", megapixels,
        precision, tile or 0, round(seconds, 1), round(peak, 3), **measured_by(),
    )  # fmt: skip


def measure(options: argparse.Namespace) -> Iterator[Time | Upscaling | Memory]:
    """Measure what the command line requests."""
    if options.upscale:
        models = [
            options.model or MODELS / "upscale.safetensors",
            *([options.against] if options.against else []),
        ]
        for megapixels, scale, precision in itertools.product(
            options.megapixels, options.upscale, options.precision
        ):
            yield from measure_upscaling(megapixels, scale, precision, options.rounds, models)
        return
    with tempfile.TemporaryDirectory() as name:
        paper = None
        if options.task == "denoise" or not options.memory:
            # In a new process: torch makes this one large, and a child's peak is at least its parent's size.
            with ProcessPoolExecutor(1, get_context("spawn")) as apart:
                paper = apart.submit(paper_model, Path(name)).result()
        for megapixels, precision in itertools.product(options.megapixels, options.precision):
            models = [None, paper] if paper and precision != "int8" else [None]  # int8 needs calibration
            for tile in options.tile or [None]:
                if paper and not options.memory:
                    yield measure_time(megapixels, precision, tile or TILE, options.rounds, paper)
                    continue
                for suffix, model in itertools.product(options.format, models):
                    yield measure_memory(
                        options.task, model, megapixels, precision, tile, suffix, options.bits
                    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1, 12])
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16", "int8"])
    parser.add_argument("--tile", nargs="+", type=int, help="default: as in the command line and the API")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--upscale", nargs="+", type=float, metavar="SCALE", help="time upscaling instead")
    parser.add_argument("--model", type=Path, help="for --upscale: a model other than ours")
    parser.add_argument("--against", type=Path, help="for --upscale: a model to compare with")
    parser.add_argument("--memory", action="store_true", help="measure memory of the command instead of time")
    parser.add_argument("--task", default="denoise", choices=WORDS, help="for --memory")
    parser.add_argument("--format", nargs="+", default=[".jpg"], help="for --memory: .jpg, .png, .tif")
    parser.add_argument("--bits", type=int, default=8, help="for --memory: 8 or 16")
    parser.add_argument(
        "--save", action="store_true",
        help="record the results in benchmarks/results/speed.json and update docs/speed.md",
    )  # fmt: skip
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and save the results if requested."""
    options = parse(arguments)
    speeds = (
        read_speeds(RECORDS) if options.save else None
    )  # so that an unreadable file is reported before hours of measuring
    print(f"{os.cpu_count()} CPUs, {len(os.sched_getaffinity(0))} used; OpenVINO, level {LEVEL:g}")
    for record in measure(options):
        if speeds:
            speeds = with_records(speeds, [record])
            write_speeds(RECORDS, speeds)
            write_atomically(PAGE, page(speeds).encode())


if __name__ == "__main__":
    main()

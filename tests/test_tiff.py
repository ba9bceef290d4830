"""TIFF files as scanners, map makers and archives write them: nothing read wrongly, nothing lost in silence.

Files are written and read by tifffile, and where it cannot, tag by tag; colours are compared with Pillow,
libtiff or the formulas of TIFF 6.0.
"""

import struct
import zlib

import numpy as np
import pytest
import pyvips
import tifffile
from conftest import SCALE, SIGMA
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import IPTC, XMP, copy, exif, integers, picture_of, refused
from PIL import Image

from hyperrestore import restore_file
from hyperrestore.detect.findings import inspect
from hyperrestore.level import Task
from hyperrestore.picture.decode import header_size
from hyperrestore.picture.file import read_picture, write_picture
from hyperrestore.picture.reader import open_picture
from hyperrestore.picture.writer import create_picture

FORMS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "I", 12: "d"}


class Same:
    """A restorer that leaves pixels as they are, or enlarges them."""

    halo, multiple = 8, 8

    def __init__(self, task=Task.DENOISE):
        self.task = task
        self.scales = (SCALE if task == Task.UPSCALE else SIGMA,)

    def __call__(self, window):
        return window

    def network(self, levels, *, bits, pixels=None):
        return self

    def release_memory(self):
        pass


def restore(source, target, scale=None):
    """The sentences that a command would say."""
    restorer = Same(Task.UPSCALE if scale else Task.DENOISE)
    return restore_file(restorer, source, target, scale or 10.0, overwrite=True).notes


def tiff(path, tags, strip, order="<"):
    """Write a TIFF of one strip, tag by tag: {tag: (type, values)}."""
    entries = {**tags, 273: (4, [8]), 279: (4, [len(strip)])}
    strip += bytes(len(strip) % 2)
    start = 8 + len(strip)
    behind = start + 2 + 12 * len(entries) + 4
    table, body = struct.pack(order + "H", len(entries)), b""
    for tag, (kind, values) in sorted(entries.items()):
        data = struct.pack(f"{order}{len(values)}{FORMS[kind]}", *values)
        place = struct.pack(order + "I", behind + len(body))
        body += data + bytes(len(data) % 2) if len(data) > 4 else b""
        count = len(values) // (2 if kind == 5 else 1)
        table += struct.pack(order + "HHI", tag, kind, count) + (
            place if len(data) > 4 else data.ljust(4, b"\0")
        )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    path.write_bytes(head + strip + table + bytes(4) + body)


def plain(width, height, samples, photometric, bits=8, **more):
    numbers = {256: width, 257: height, 259: 1, 262: photometric, 277: samples, 278: height}
    tags = {tag: (3, [value]) for tag, value in numbers.items()} | {258: (3, [bits] * samples)}
    return tags | {int(tag[1:]): value for tag, value in more.items()}


def tags_of(path):
    with tifffile.TiffFile(path) as file:
        return {tag.code: tag.value for tag in file.pages[0].tags}


def samples_in(path):
    """As tifffile reads them, (h, w, samples)."""
    values = tifffile.imread(path)
    return values if values.ndim == 3 else values[..., None]


# Colours


def lzw(data):
    """Compress by LZW, without ever using its table: codes of 9 bits, and a clear code before they grow."""
    codes = []
    for start in range(0, len(data), 250):
        codes += [256, *data[start : start + 250]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def pack_bits(data):
    runs = (data[start : start + 128] for start in range(0, len(data), 128))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


COMPRESSIONS = {1: bytes, 5: lzw, 8: zlib.compress, 32946: zlib.compress, 32773: pack_bits}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_ycbcr_without_shared_colours_is_read_as_pillow_converts_it(tmp_path, compression, order):
    values = integers(3, 24, 32).transpose(1, 2, 0)
    tags = plain(32, 24, 3, 6, x530=(3, [1, 1]), x259=(3, [compression]))
    tiff(tmp_path / "a.tif", tags, COMPRESSIONS[compression](values.tobytes()), order)
    expected = np.asarray(Image.fromarray(values, "YCbCr").convert("RGB")).transpose(2, 0, 1)
    picture = read_picture(tmp_path / "a.tif")
    assert np.abs(np.rint(picture.pixels * 255) - expected).max() <= 1
    assert picture.info.notes == ("converted from YCbCr to RGB",)
    restore(tmp_path / "a.tif", tmp_path / "b.tif")
    written = tags_of(tmp_path / "b.tif")
    assert written[262] == 2 and not {529, 530, 532} & written.keys()


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"rowsperstrip": 5}])
@pytest.mark.parametrize("orientation", [1, 6])
def test_ycbcr_in_tiles_and_strips(tmp_path, options, orientation):
    values = integers(3, 24, 32)
    tifffile.imwrite(
        tmp_path / "a.tif", values.transpose(1, 2, 0), photometric="ycbcr", subsampling=(1, 1),
        compression="zlib", extratags=[(274, 3, 1, orientation, True)], **options,
    )  # fmt: skip
    turned = Image.fromarray(values.transpose(1, 2, 0), "YCbCr").convert("RGB")
    turned = turned.transpose(Image.Transpose.ROTATE_270) if orientation == 6 else turned
    pixels = read_picture(tmp_path / "a.tif").pixels
    assert np.abs(np.rint(pixels * 255) - np.asarray(turned).transpose(2, 0, 1)).max() <= 1


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"x529": (5, [2126, 10000, 7152, 10000, 722, 10000])},
        {"x532": (5, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1])},
    ],
)
def test_ycbcr_with_and_without_shared_colours_is_the_same_to_libtiff_and_us(tmp_path, more):
    """libtiff decodes what is shared; the same colours for each pixel are decoded here."""
    generator = np.random.default_rng(3)
    luma = generator.integers(0, 256, (12, 16), np.uint8)
    chroma = generator.integers(60, 200, (6, 8, 2), np.uint8)
    cells = luma.reshape(6, 2, 8, 2).transpose(0, 2, 1, 3).reshape(6, 8, 4)
    shared = np.concatenate([cells, chroma], axis=2)
    tiff(tmp_path / "shared.tif", plain(16, 12, 3, 6, x530=(3, [2, 2]), **more), shared.tobytes())
    whole = np.dstack([luma, chroma.repeat(2, 0).repeat(2, 1)])
    tiff(tmp_path / "whole.tif", plain(16, 12, 3, 6, x530=(3, [1, 1]), **more), whole.tobytes())
    ours, libtiffs = (read_picture(tmp_path / f"{name}.tif") for name in ("whole", "shared"))
    assert libtiffs.alpha is None and libtiffs.others is None
    assert np.abs(ours.pixels - libtiffs.pixels).max() * 255 <= 2.01


def test_ycbcr_of_16_bits(tmp_path):
    values = integers(3, 8, 8, bits=16).transpose(1, 2, 0)
    tiff(tmp_path / "a.tif", plain(8, 8, 3, 6, bits=16, x530=(3, [1, 1])), values.tobytes())
    y, b, r = (values.astype(float) - [0, 32768, 32768]).transpose(2, 0, 1)
    expected = np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b]).clip(0, 65535)
    assert np.abs(read_picture(tmp_path / "a.tif").pixels * 65535 - expected).max() < 2


@pytest.mark.parametrize(
    "more", [{"x529": (5, [0, 0] * 3)}, {"x532": (5, [0, 1] * 6)}, {"x529": (5, [1, 2])}]
)
def test_ycbcr_that_makes_no_sense_is_refused(tmp_path, more):
    tiff(tmp_path / "a.tif", plain(4, 4, 3, 6, x530=(3, [1, 1]), **more), bytes(48))
    refused(tmp_path / "a.tif", "invalid coefficients")


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_white_as_zero(tmp_path, bits):
    white = 2**bits - 1
    values = integers(1, 6, 8, bits=16)[0].astype(int) % (white + 1)
    if bits < 8:
        packed = np.packbits(
            ((values[..., None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).reshape(6, -1), 1
        )
    else:
        packed = values.astype(np.uint8 if bits == 8 else np.uint16)
    tiff(tmp_path / "a.tif", plain(8, 6, 1, 0, bits), packed.tobytes())
    np.testing.assert_allclose(read_picture(tmp_path / "a.tif").pixels[0], 1 - values / white, atol=1e-6)


@pytest.mark.parametrize("photometric", ["rgb", "minisblack", "miniswhite", "separated", "palette"])
@pytest.mark.parametrize("separate", [False, True])
def test_colours_that_are_read(tmp_path, photometric, separate):
    count = {"rgb": 3, "separated": 4}.get(photometric, 1)
    values = integers(count, 24, 32)
    options = {"colormap": integers(3, 1, 256, bits=16)[:, 0]} if photometric == "palette" else {}
    separate = separate and count > 1
    stored = values if separate else values.transpose(1, 2, 0).squeeze()
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric=photometric,
        planarconfig="separate" if separate else None, **options,
    )  # fmt: skip
    pixels = np.rint(read_picture(tmp_path / "a.tif").pixels * 255)
    if photometric == "separated":  # through a profile: darker than arithmetic, yet alike
        expected = np.asarray(Image.fromarray(values.transpose(1, 2, 0), "CMYK").convert("RGB"))
        assert np.corrcoef(pixels.ravel(), expected.transpose(2, 0, 1).ravel())[0, 1] > 0.8
        return
    if photometric == "palette":
        values = options["colormap"][:, values[0]] >> 8
    np.testing.assert_array_equal(pixels, 255 - values if photometric == "miniswhite" else values)


@pytest.mark.parametrize(
    "tags, said",
    [
        (plain(4, 4, 3, 8), "L\\*a\\*b"), (plain(4, 4, 3, 9), "L\\*a\\*b"), (plain(4, 4, 3, 10), "L\\*a\\*b"),
        (plain(4, 4, 3, 8, 16), "L\\*a\\*b"), (plain(4, 4, 3, 32845), "LogLuv"),
        (plain(4, 4, 1, 32844), "LogL"),
        (plain(4, 4, 1, 32803), "raw"), (plain(4, 4, 3, 34892, 16), "raw"), (plain(4, 4, 1, 4, 1), "mask"),
        (plain(4, 4, 3, 12345), "photometric interpretation 12345"),
        (plain(4, 4, 4, 5, x332=(3, [2])), "inks"), (plain(4, 4, 3, 5), "bands"),
        (plain(4, 4, 1, 3, x320=(3, [value % 256 for value in range(768)])), "palette of 8-bit colours"),
        (plain(4, 4, 3, 2, x339=(3, [2] * 3)), "char"), (plain(4, 4, 1, 1, 16, x339=(3, [2])), "short"),
        (plain(4, 4, 3, 2, 32, x339=(3, [3] * 3)), "float"), (plain(4, 4, 1, 1, 32), "uint"),
        (plain(4, 4, 1, 1, 12), "cannot be read"), (plain(4, 4, 3, 2, 4), "cannot be read"),
        (plain(4, 4, 5, 2, x338=(3, [0, 1])), "premultiplied alpha"),
        (plain(4, 4, 3, 6, 32, x530=(3, [1, 1])), "YCbCr of 32 bits"),
        (plain(4, 4, 3, 6, x284=(3, [2]), x530=(3, [1, 1])), "in planes"),
        (plain(4, 4, 2, 1, x284=(3, [2]), x338=(3, [0])), "in planes"),
        (plain(4, 4, 2, 0, x284=(3, [2]), x338=(3, [2])), "in planes"),
        (plain(4, 4, 3, 6, x530=(3, [1, 1]), x259=(3, [50001])), "cannot be read"),
        (plain(4, 4, 4, 6, x530=(3, [1, 1]), x338=(3, [0])), "cannot be read"),
    ],
)  # fmt: skip
def test_colours_that_are_refused(tmp_path, tags, said):
    tiff(tmp_path / "a.tif", tags, bytes(4 * 4 * 5 * 4))
    refused(tmp_path / "a.tif", said)


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_multiplied_by_alpha_are_divided_by_it(tmp_path, bits):
    white = 2**bits - 1
    colours, alpha = integers(3, 24, 32, bits=bits), integers(1, 24, 32, bits=bits, seed=1) // 2 + white // 2
    stored = np.concatenate([np.rint(colours * (alpha / white)).astype(colours.dtype), alpha])
    tifffile.imwrite(
        tmp_path / "a.tif", stored.transpose(1, 2, 0), photometric="rgb", extrasamples=["assocalpha"]
    )
    notes = restore(tmp_path / "a.tif", tmp_path / "b.tif")
    assert notes == ("converted from premultiplied to straight alpha",)
    written = samples_in(tmp_path / "b.tif").transpose(2, 0, 1).astype(int)
    assert tags_of(tmp_path / "b.tif")[338] == (2,)
    np.testing.assert_array_equal(written[3:], alpha)
    assert np.abs(written[:3] - colours).max() <= 2


# Samples that are neither colour nor alpha

EXTRAS = [(0,), (0, 0), (0, 2), (2, 0), (0, 2, 0), (2, 2), (0, 0, 0)]


def save_extras(path, extras, *, colours=3, bits=8, separate=False, **options):
    values = integers(colours + len(extras), 24, 32, bits=bits)
    for place, kind in enumerate(extras, colours):
        values[place, :5] = 0  # dust: nothing under it is hidden
        values[place] |= 2 ** (bits - 1) * (kind == 2)
    tifffile.imwrite(
        path, values if separate else values.transpose(1, 2, 0),
        photometric="rgb" if colours == 3 else "minisblack", extrasamples=extras, metadata=None,
        planarconfig="separate" if separate else "contig", **options,
    )  # fmt: skip
    return values


@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_extra_samples_stay_as_they_are_with_their_tag(tmp_path, extras, colours, bits):
    values = save_extras(tmp_path / "a.tif", extras, colours=colours, bits=bits)
    assert restore(tmp_path / "a.tif", tmp_path / "b.tif") == ()
    write_picture(tmp_path / "c.tif", read_picture(tmp_path / "a.tif"))
    for name in ("b.tif", "c.tif"):
        np.testing.assert_array_equal(samples_in(tmp_path / name).transpose(2, 0, 1), values)
        assert tags_of(tmp_path / name)[338] == extras
    info = read_picture(tmp_path / "a.tif").info
    assert info.has_alpha == (2 in extras) and info.others == len(extras) - (2 in extras)


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 5}])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extras", [(), (0,), (0, 2)])
@pytest.mark.parametrize("photometric, colours", [("rgb", 3), ("separated", 4)])
def test_planes_of_colours(tmp_path, photometric, colours, extras, bits, options):
    """As the same picture with the samples of a pixel side by side."""
    values = integers(colours + len(extras), 24, 32, bits=bits)
    for name, stored, planes in (("a", values, "separate"), ("b", values.transpose(1, 2, 0), "contig")):
        tifffile.imwrite(
            tmp_path / f"{name}.tif", stored, photometric=photometric, planarconfig=planes,
            extrasamples=extras or None, **options,
        )  # fmt: skip
    a, b = (read_picture(tmp_path / f"{name}.tif") for name in ("a", "b"))
    for one, other in ((a.pixels, b.pixels), (a.alpha, b.alpha), (a.others, b.others)):
        np.testing.assert_array_equal(one, other)
    if colours == 3:
        np.testing.assert_array_equal(np.rint(a.pixels * (2**bits - 1)), values[:3])


def test_planes_in_tiles_are_refused(tmp_path):
    options = {"photometric": "rgb", "planarconfig": "separate", "tile": (16, 16)}
    tifffile.imwrite(tmp_path / "a.tif", integers(3, 32, 32), **options)
    refused(tmp_path / "a.tif", "in planes that are not strips")


def test_a_missing_tag_makes_no_transparency(tmp_path):
    values = integers(4, 8, 8)
    tiff(tmp_path / "a.tif", plain(8, 8, 4, 2), values.transpose(1, 2, 0).tobytes())
    restore(tmp_path / "a.tif", tmp_path / "b.tif")
    np.testing.assert_array_equal(samples_in(tmp_path / "b.tif").transpose(2, 0, 1), values)
    assert tags_of(tmp_path / "b.tif")[338] == (0,)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif"])
def test_infrared_is_left_out_aloud_where_a_format_has_no_room_and_nothing_is_flattened(tmp_path, suffix):
    values = save_extras(tmp_path / "a.tif", (0,))
    (note,) = restore(tmp_path / "a.tif", tmp_path / f"b.{suffix}")
    assert note.startswith("left out an extra sample for each pixel, neither colour nor alpha, which ")
    picture = read_picture(tmp_path / f"b.{suffix}")
    assert picture.alpha is None
    if suffix == "png":
        np.testing.assert_array_equal(np.rint(picture.pixels * 255), values[:3])


def test_what_lies_under_dust_is_restored_as_everything_else(tmp_path):
    class Inverse(Same):
        def __call__(self, window):
            return 1 - window

    values = save_extras(tmp_path / "a.tif", (0,))
    restore_file(Inverse(), tmp_path / "a.tif", tmp_path / "b.tif", 10.0)
    np.testing.assert_array_equal(
        samples_in(tmp_path / "b.tif")[..., :3].transpose(2, 0, 1), 255 - values[:3]
    )


@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_extra_samples_turn_with_the_picture(tmp_path, orientation):
    values = save_extras(tmp_path / "a.tif", (0, 2), extratags=[(274, 3, 1, orientation, True)])
    restore(tmp_path / "a.tif", tmp_path / "b.tif")
    turned = {2: values[:, :, ::-1], 3: values[:, ::-1, ::-1], 6: np.rot90(values, -1, (1, 2))}[orientation]
    np.testing.assert_array_equal(samples_in(tmp_path / "b.tif").transpose(2, 0, 1), turned)


def test_upscaling_enlarges_extra_samples_and_says_so(tmp_path):
    save_extras(tmp_path / "a.tif", (0, 2, 0))
    flat = tifffile.imread(tmp_path / "a.tif")
    flat[..., 3], flat[..., 5] = 40, 200
    tifffile.imwrite(tmp_path / "a.tif", flat, photometric="rgb", extrasamples=(0, 2, 0))
    notes = restore(tmp_path / "a.tif", tmp_path / "b.tif", scale=2.0)
    said = "enlarged 2 extra samples for each pixel, neither colour nor alpha, by linear interpolation"
    assert notes == (said,)
    written = samples_in(tmp_path / "b.tif")
    assert written.shape == (48, 64, 6) and (written[..., 3] == 40).all() and (written[..., 5] == 200).all()
    assert tags_of(tmp_path / "b.tif")[338] == (0, 2, 0)


def test_cmyk_with_an_extra_sample(tmp_path):
    values = integers(5, 24, 32).transpose(1, 2, 0)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="separated", extrasamples=(0,))
    tifffile.imwrite(tmp_path / "plain.tif", values[..., :4].copy(), photometric="separated")
    restore(tmp_path / "a.tif", tmp_path / "b.tif")
    np.testing.assert_array_equal(samples_in(tmp_path / "b.tif")[..., 3], values[..., 4])
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.tif").pixels, read_picture(tmp_path / "plain.tif").pixels
    )


def test_extra_samples_that_are_not_given_are_left_out_aloud(tmp_path):
    save_extras(tmp_path / "a.tif", (0,))
    info = read_picture(tmp_path / "a.tif").info
    with create_picture(tmp_path / "b.tif", info) as writer:
        writer.write(integers(3, 24, 32))
    assert writer.notes == (
        "left out an extra sample for each pixel, neither colour nor alpha, because they were not given",
    )
    assert samples_in(tmp_path / "b.tif").shape[2] == 3


# Pages


def save_pages(path, *kinds, tag=254):
    """Write pages of the kinds that `tag` tells; the picture's kind is 0, or None for no tag."""
    picture = integers(3, 24, 32).transpose(1, 2, 0)
    small, mask = integers(3, 6, 8, seed=1).transpose(1, 2, 0), integers(1, 24, 32)[0] > 99
    with tifffile.TiffWriter(path) as file:
        for kind in kinds:
            extratags = [(255, 3, 1, kind, True)] if tag == 255 else []
            subfiletype = kind if tag == 254 and kind else None
            full = kind in (None, 0, 2) if tag == 254 else kind == 1
            is_mask = tag == 254 and kind in (4, 5)
            file.write(
                mask if is_mask else picture if full else small, photometric=4 if is_mask else "rgb",
                subfiletype=subfiletype, extratags=extratags, metadata=None,
            )  # fmt: skip
    return picture


@pytest.mark.parametrize(
    "kinds, names",
    [
        ((0, 1), "smaller versions or previews"), ((1, 0), "smaller versions or previews"),
        ((None, 1, 1), "smaller versions or previews"), ((1, None), "smaller versions or previews"),
        ((1, 2), "smaller versions or previews"), ((0, 4), "masks"), ((4, 0), "masks"),
        ((0, 1, 4, 5), "smaller versions or previews and masks"),
    ],
)  # fmt: skip
def test_the_full_picture_is_found_and_the_rest_left_out_aloud(tmp_path, kinds, names):
    path = tmp_path / "a.tif"
    picture = save_pages(path, *kinds)
    said = f"left out the further images in the file ({names})"
    assert read_picture(path).info.notes == (said,)
    np.testing.assert_array_equal(np.rint(read_picture(path).pixels * 255), picture.transpose(2, 0, 1))
    assert header_size(path) == (32, 24)
    assert inspect(path)
    assert said in restore(path, tmp_path / "b.tif")
    np.testing.assert_array_equal(samples_in(tmp_path / "b.tif"), picture)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 1 and file.pages[0].subfiletype == 0


@pytest.mark.parametrize("kinds", [(1, 2), (2, 1)])
def test_previews_by_the_old_tag(tmp_path, kinds):
    save_pages(tmp_path / "a.tif", *kinds, tag=255)
    assert header_size(tmp_path / "a.tif") == (32, 24) and read_picture(tmp_path / "a.tif").info.width == 32


@pytest.mark.parametrize("subifd", [False, True])
def test_pyramids(tmp_path, subifd):
    values = integers(3, 90, 120)
    image = pyvips.Image.new_from_array(np.ascontiguousarray(values.transpose(1, 2, 0)))
    image.tiffsave(
        str(tmp_path / "a.tif"), tile=True, pyramid=True, subifd=subifd, tile_width=16, tile_height=16
    )
    picture = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), values)
    assert picture.info.notes == ("left out the further images in the file (smaller versions or previews)",)


@pytest.mark.parametrize("kinds, count", [((0, 0), 2), ((None, None, None), 3), ((2, 2, 1), 2)])
def test_documents_of_several_pages_are_refused(tmp_path, kinds, count):
    save_pages(tmp_path / "a.tif", *kinds)
    refused(tmp_path / "a.tif", f"{count} pages or frames; save one of them")


@pytest.mark.parametrize("kinds", [(1,), (1, 1), (4,)])
def test_a_preview_or_a_mask_alone_is_refused(tmp_path, kinds):
    save_pages(tmp_path / "a.tif", *kinds)
    refused(tmp_path / "a.tif", "only a small preview or a mask")


def test_metadata_beside_a_preview_in_front_come_along(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        small, large = (integers(3, *size).transpose(1, 2, 0) for size in ((6, 8), (24, 32)))
        makers = [(271, 2, None, "ACME", True)]
        file.write(small, photometric="rgb", subfiletype=1, metadata=None, extratags=makers)
        file.write(large, photometric="rgb", metadata=None, extratags=[(285, 2, None, "3r", True)])
    restore(tmp_path / "a.tif", tmp_path / "b.tif")
    written = tags_of(tmp_path / "b.tif")
    assert written[271] == "ACME" and written[285] == "3r"


# Metadata

AREA, POINT = 1, 2


def geo_tags(raster=AREA):
    return [
        (33550, 12, 3, (0.5, 0.25, 0.0), True),
        (33922, 12, 6, (3.0, 2.0, 0.0, 500000.0, 4600000.0, 0.0), True),
        (34735, 3, 12, (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, raster), True),
        (34736, 12, 1, (6378137.0,), True),
        (34737, 2, None, "WGS 84 / UTM zone 33N|", True),
        (42112, 2, None, "<GDALMetadata>\n</GDALMetadata>", True),
        (42113, 2, None, "0", True),
    ]


ARCHIVE = [
    (269, 2, None, "ms 0042 folio 3r", True), (285, 2, None, "3r", True), (297, 3, 2, (2, 12), True),
    (316, 2, None, "scan station 2", True), (337, 2, None, "printer", True), (33432, 2, None, "(c) us", True),
    (286, 5, 1, (7, 2), True), (65000, 7, 5, b"\1\2\3\4\5", True), (50001, 9, 3, (-1, 2, -3), True),
]  # fmt: skip
NO_DATA = "pixels marked as having no data (GDAL_NODATA) are treated like all others"
STORAGE = {256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 282, 283, 284, 296, 305, 317, 339}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_a_tiff_says_of_the_picture_stays(tmp_path, big, order):
    picture = integers().transpose(1, 2, 0)
    given = [*geo_tags(), *ARCHIVE]
    tifffile.imwrite(
        tmp_path / "a.tif", picture, photometric="rgb", metadata=None, bigtiff=big, byteorder=order,
        extratags=given, software=False,
    )  # fmt: skip
    assert restore(tmp_path / "a.tif", tmp_path / "b.tif") == (NO_DATA,)
    before, after = tags_of(tmp_path / "a.tif"), tags_of(tmp_path / "b.tif")
    assert {tag: after.get(tag) for tag, *_ in given} == {tag: before[tag] for tag, *_ in given}
    assert after.keys() - before.keys() <= STORAGE
    np.testing.assert_array_equal(samples_in(tmp_path / "b.tif"), picture)


KINDS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}
VALUES = {
    kind: st.lists(
        st.floats(-1e6, 1e6, width=32) if form in "fd" else
        st.integers(-(2 ** (8 * struct.calcsize(form) - 1)), 2 ** (8 * struct.calcsize(form) - 1) - 1)
        if form.islower() else st.integers(0, 2 ** (8 * struct.calcsize(form)) - 1),
        min_size=1, max_size=9,
    )
    for kind, form in KINDS.items()
}  # fmt: skip


# tifffile takes the values of some tags for places in the file, however short they are.
UNKNOWN = sorted(set(range(60000, 65500)) - set(tifffile.TIFF.TAG_READERS))


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(UNKNOWN),
        st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])),
        max_size=6,
    ),
    st.booleans(),
    st.sampled_from("<>"),
)
def test_tags_that_nobody_knows_stay(tmp_path_factory, given_tags, big, order):
    folder = tmp_path_factory.mktemp("tags")
    extratags = [(tag, kind, len(values), tuple(values), True) for tag, (kind, values) in given_tags.items()]
    tifffile.imwrite(
        folder / "a.tif", integers(1, 4, 5)[0], photometric="minisblack", metadata=None, bigtiff=big,
        byteorder=order, extratags=extratags,
    )  # fmt: skip
    assert copy(folder / "a.tif", folder / "b.tif") == ()
    before, after = tags_of(folder / "a.tif"), tags_of(folder / "b.tif")
    assert {tag: after[tag] for tag in given_tags} == {tag: before[tag] for tag in given_tags}


def test_numbers_of_64_bits_stay(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", integers()[0], metadata=None, bigtiff=True,
        extratags=[(65000, 16, 2, (2**40, 7), True)],
    )  # fmt: skip
    restore(tmp_path / "a.tif", tmp_path / "b.tif")
    assert tags_of(tmp_path / "b.tif")[65000] == (2**40, 7)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif"])
def test_tags_that_other_formats_cannot_hold_are_named(tmp_path, suffix):
    tifffile.imwrite(
        tmp_path / "a.tif", integers().transpose(1, 2, 0), photometric="rgb", metadata=None,
        extratags=[*geo_tags()[:1], *ARCHIVE[:2], ARCHIVE[7]],
    )  # fmt: skip
    (note,) = restore(tmp_path / "a.tif", tmp_path / f"b.{suffix}")
    assert note.startswith("left out its TIFF tags, which ")
    for name in ("ModelPixelScaleTag", "DocumentName", "PageName", "tag 65000"):
        assert name in note
    assert "Resolution" not in note


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif"])
def test_the_host_computer_is_kept_by_every_format(tmp_path, suffix):
    tifffile.imwrite(tmp_path / "a.tif", integers()[0], metadata=None, extratags=[ARCHIVE[3]])
    assert restore(tmp_path / "a.tif", tmp_path / f"b.{suffix}") == ()
    with Image.open(tmp_path / f"b.{suffix}") as image:
        assert image.getexif()[316] == "scan station 2"


def test_what_cannot_be_carried_is_said(tmp_path):
    layers = (37724, 7, 8, b"Adobe Ph", True)
    tifffile.imwrite(
        tmp_path / "a.tif", integers().transpose(1, 2, 0), photometric="rgb", metadata=None,
        extratags=[layers, (65000, 13, 1, 8, True)],
    )  # fmt: skip
    notes = restore(tmp_path / "a.tif", tmp_path / "b.tif")
    assert notes[0] == "left out its Photoshop layers, which show the original picture"
    assert notes[1].startswith("left out tags that point elsewhere in the file: ")
    assert not {37724, 65000} & tags_of(tmp_path / "b.tif").keys()


def test_a_transfer_function_goes_with_the_samples_that_it_is_for(tmp_path):
    curve = (301, 3, 256, tuple(range(0, 65536, 256)), True)
    for name, photometric in (("black", "minisblack"), ("white", "miniswhite")):
        tifffile.imwrite(
            tmp_path / f"{name}.tif", integers()[0], photometric=photometric, metadata=None, extratags=[curve]
        )
    assert restore(tmp_path / "black.tif", tmp_path / "b.tif") == ()
    assert tuple(tags_of(tmp_path / "b.tif")[301]) == curve[3]
    (note,) = restore(tmp_path / "white.tif", tmp_path / "b.tif")
    assert "TransferFunction" in note and 301 not in tags_of(tmp_path / "b.tif")


def on_the_map(tags, column, row):
    """Where the place (column, row), from the outer edge of the first pixel, lies on the map."""
    edge = 0.5 if tags[34735][11] == POINT else 0.0
    column, row = column - edge, row - edge
    if 34264 in tags:
        return (np.array(tags[34264]).reshape(4, 4) @ [column, row, 0, 1])[:2]
    i, j, _, x, y, _ = tags[33922][:6]
    across, down, _ = tags[33550]
    return np.array([x + (column - i) * across, y - (row - j) * down])


@pytest.mark.parametrize("raster", [AREA, POINT])
@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize("scale", [1.5, 2.0, 3.7])
def test_an_enlarged_picture_lies_where_it_lay_on_the_map(tmp_path, raster, matrix, scale):
    tags = geo_tags(raster)
    if matrix:
        rotated = (0.4, 0.1, 0, 5e5, 0.1, -0.4, 0, 4.6e6, 0, 0, 0, 0, 0, 0, 0, 1)
        tags = [(34264, 12, 16, tuple(map(float, rotated)), True), *tags[2:]]
    tifffile.imwrite(tmp_path / "a.tif", integers()[0], metadata=None, extratags=tags)
    restore(tmp_path / "a.tif", tmp_path / "b.tif", scale=scale)
    before, after = tags_of(tmp_path / "a.tif"), tags_of(tmp_path / "b.tif")
    for across in (0, 0.3, 1):
        for down in (0, 0.8, 1):
            places = [on_the_map(tags, across * tags[256], down * tags[257]) for tags in (before, after)]
            np.testing.assert_allclose(*places, rtol=0, atol=1e-6)


def test_a_turned_picture_loses_its_position_aloud(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", integers()[0], metadata=None, extratags=[*geo_tags(), (274, 3, 1, 6, True)]
    )
    note, no_data = sorted(restore(tmp_path / "a.tif", tmp_path / "b.tif"))
    assert no_data == NO_DATA
    assert note.startswith(
        "left out its position on the map (ModelPixelScaleTag, ModelTiepointTag), because the pix"
    )
    written = tags_of(tmp_path / "b.tif")
    assert not {33550, 33922, 34264} & written.keys() and {34735, 34736, 34737, 42113} <= written.keys()


def test_coefficients_that_count_pixels_are_left_out_of_an_enlarged_picture(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", integers()[0], metadata=None,
        extratags=[(50844, 12, 92, tuple(map(float, range(92))), True)],
    )  # fmt: skip
    assert restore(tmp_path / "a.tif", tmp_path / "b.tif") == ()
    assert len(tags_of(tmp_path / "b.tif")[50844]) == 92
    (note,) = restore(tmp_path / "a.tif", tmp_path / "b.tif", scale=2.0)
    assert note == "left out its position on the map (tag 50844), because the size has changed"


def test_pixels_of_another_size_have_no_position_that_is_known(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", integers()[0], metadata=None, extratags=geo_tags())
    picture = read_picture(tmp_path / "a.tif")
    part = picture_of(integers(1, 5, 5), 1, tags=picture.info.tags)
    assert write_picture(tmp_path / "b.tif", part) == ()
    cut = type(picture)(picture.pixels[:, :5, :5], None, picture.info)
    (note,) = write_picture(tmp_path / "c.tif", cut)
    assert note.startswith("left out its position on the map")


RESOLUTIONS = [
    {282: (1, 1), 283: (1, 1), 296: 1},
    {282: (2, 1), 283: (1, 1), 296: 1},
    {282: (300, 1), 283: (300, 1), 296: 2},
    {282: (72, 1), 283: (72, 1), 296: 2},
    {282: (118_1100, 1_0000), 283: (590, 5), 296: 3},
    {282: (600, 1), 283: (600, 1)},
    {},
]


def save_resolution(path, said, orientation=1):
    tags = {tag: (5, list(value)) if tag != 296 else (3, [value]) for tag, value in said.items()}
    tiff(path, plain(8, 6, 1, 1) | tags | {274: (3, [orientation])}, integers(1, 6, 8).tobytes())


@pytest.mark.parametrize("said", RESOLUTIONS)
def test_a_resolution_stays_as_it_is_said(tmp_path, said):
    save_resolution(tmp_path / "a.tif", said)
    assert restore(tmp_path / "a.tif", tmp_path / "b.tif") == ()
    written = tags_of(tmp_path / "b.tif")
    assert {tag: written.get(tag) for tag in (282, 283, 296)} == {
        tag: said.get(tag) for tag in (282, 283, 296)
    }
    write_picture(tmp_path / "c.tif", read_picture(tmp_path / "a.tif"))
    assert [tags_of(tmp_path / "c.tif").get(tag) for tag in (282, 283, 296)] == [
        said.get(tag) for tag in (282, 283, 296)
    ]
    notes = restore(tmp_path / "a.tif", tmp_path / "b.png")
    assert bool(notes) == (said.get(296) == 1 and said[282] != said[283])  # a ratio without a unit


def test_a_resolution_grows_with_the_picture_and_turns_with_it(tmp_path):
    save_resolution(tmp_path / "a.tif", {282: (300, 1), 283: (200, 1), 296: 2})
    restore(tmp_path / "a.tif", tmp_path / "b.tif", scale=2.0)
    written = tags_of(tmp_path / "b.tif")
    assert [written[tag] for tag in (282, 283, 296)] == [(600, 1), (400, 1), 2]
    save_resolution(tmp_path / "a.tif", {282: (300, 1), 283: (200, 1), 296: 2}, orientation=6)
    restore(tmp_path / "a.tif", tmp_path / "b.tif")
    written = tags_of(tmp_path / "b.tif")
    assert [written[tag] for tag in (282, 283, 296, 274)] == [(200, 1), (300, 1), 2, 1]


def bim(number, data, name=b"\0\0"):
    return (
        b"8BIM"
        + struct.pack(">H", number)
        + name
        + struct.pack(">I", len(data))
        + data
        + bytes(len(data) % 2)
    )


def test_photoshop_resources_stay_but_for_thumbnails_and_iptc_inside_reaches_a_jpeg(tmp_path):
    path, flag = bim(2000, bytes(range(52)), b"\4Path\0"), bim(1034, b"\1")
    block = path + bim(0x040C, b"\xff\xd8old") + bim(0x0404, IPTC) + flag
    tifffile.imwrite(
        tmp_path / "a.tif", integers().transpose(1, 2, 0), photometric="rgb", metadata=None,
        extratags=[(34377, 7, len(block), block, True)],
    )  # fmt: skip
    assert restore(tmp_path / "a.tif", tmp_path / "b.tif") == ()
    written = tags_of(tmp_path / "b.tif")
    assert written[34377] == bim(0x0404, IPTC) + path + flag
    assert bytes(written[33723]) == IPTC
    restore(tmp_path / "a.tif", tmp_path / "b.jpg")
    image = pyvips.Image.new_from_file(str(tmp_path / "b.jpg"))
    assert bim(0x0404, IPTC) in image.get("iptc-data")


def test_places_in_photoshop_resources_hold_or_are_left_out_aloud(tmp_path):
    path, guides, rest = bim(2000, bytes(52)), bim(1032, bytes(16)), bim(1034, b"\1")
    block = path + guides + rest
    for orientation in (1, 3):
        tifffile.imwrite(
            tmp_path / f"{orientation}.tif", integers()[0], metadata=None,
            extratags=[
                (34377, 7, len(block), block, True), (274, 3, 1, orientation, True),
                (343, 1, 4, bytes(4), True),
            ],
        )  # fmt: skip
    assert restore(tmp_path / "1.tif", tmp_path / "b.tif") == ()
    assert {34377, 343} <= tags_of(tmp_path / "b.tif").keys()
    (note,) = restore(tmp_path / "1.tif", tmp_path / "b.tif", scale=2.0)
    assert note == "left out Photoshop's guides and slices, which do not fit the enlarged picture"
    assert tags_of(tmp_path / "b.tif")[34377] == path + rest
    notes = restore(tmp_path / "3.tif", tmp_path / "b.tif")
    assert "left out its clipping path, because the pixels were turned upright" in notes
    assert any("guides and slices" in note for note in notes)
    assert tags_of(tmp_path / "b.tif").keys().isdisjoint({343})


def test_exif_xmp_and_iptc_of_a_tiff_stay(tmp_path):
    block = exif()
    Image.fromarray(integers().transpose(1, 2, 0)).save(tmp_path / "a.tif", exif=block.tobytes())
    with open_picture(tmp_path / "a.tif") as reader:
        assert reader.info.exif
    tifffile.imwrite(
        tmp_path / "c.tif", integers().transpose(1, 2, 0), photometric="rgb", metadata=None,
        extratags=[(700, 1, len(XMP), XMP, True), (33723, 7, len(IPTC), IPTC, True)],
    )  # fmt: skip
    restore(tmp_path / "c.tif", tmp_path / "d.tif")
    written = tags_of(tmp_path / "d.tif")
    assert bytes(written[700]) == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    assert bytes(written[33723]) == IPTC


def test_pixels_without_data_are_named(tmp_path):
    samples = np.zeros((12, 16, 3), np.uint8)
    tifffile.imwrite(tmp_path / "in.tif", samples, photometric="rgb", extratags=[(42113, "s", 2, "0", True)])
    with open_picture(tmp_path / "in.tif") as reader:
        assert [note for note in reader.info.notes if "GDAL_NODATA" in note]
    tifffile.imwrite(tmp_path / "other.tif", samples, photometric="rgb")
    with open_picture(tmp_path / "other.tif") as reader:
        assert not [note for note in reader.info.notes if "GDAL_NODATA" in note]

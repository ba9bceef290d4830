import contextlib
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import (
    IPTC,
    KINDS,
    SRGB,
    XMP,
    copy,
    exif,
    grey_profile,
    integers,
    names,
    photoshop_envelope,
    picture_of,
    refused,
    save_bands,
    smooth,
    with_chunks,
)
from PIL import ExifTags, Image

from hyperrestore.errors import PictureError, UsageError
from hyperrestore.picture.containers.tiff_pages import find_page
from hyperrestore.picture.file import Picture, read_picture, write_picture
from hyperrestore.picture.formats import FORMATS, SUFFIXES
from hyperrestore.picture.info import PictureInfo
from hyperrestore.picture.metadata.exif import turned_exif
from hyperrestore.picture.metadata.photoshop import split_resources
from hyperrestore.picture.metadata.tiff import TiffMetadata, add_tiff_metadata, read_tiff_metadata
from hyperrestore.picture.reader import open_picture
from hyperrestore.picture.writer import create_picture

LOSSLESS = [("png", None), ("tif", None), ("webp", 100), ("avif", 100)]


def as_array(path):
    with Image.open(path) as image:
        return np.asarray(image)


def said(path):
    with Image.open(path) as image:
        return image.info


# Laws


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["png", "tif"]),
    st.sampled_from([8, 16]),
    st.sampled_from([1, 3]),
    st.booleans(),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_reading_what_was_written_changes_nothing(suffix, bits, channels, alpha, height, width, seed):
    bands = integers(channels + alpha, height, width, bits, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{suffix}")
        assert write_picture(path, picture_of(bands, channels)) == ()
        again = read_picture(path)
        with open_picture(path) as reader:
            rows = reader.rows(0, height)
        assert copy(path, Path(folder, "b.png")) == ()
        copied = read_picture(Path(folder, "b.png"))
    white = 2**bits - 1
    for picture in (again, copied):
        np.testing.assert_array_equal(np.rint(picture.pixels * white), bands[:channels])
        assert (picture.alpha is None) is not alpha
        if alpha:
            np.testing.assert_array_equal(np.rint(picture.alpha * white), bands[channels:])
    np.testing.assert_array_equal(rows, bands[:channels])
    assert again.info.notes == ()
    assert (again.info.bits, again.info.channels, again.info.has_alpha) == (bits, channels, alpha)
    assert again.pixels.dtype == np.float32 and rows.dtype == again.info.dtype


@pytest.mark.parametrize("suffix, quality", LOSSLESS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (23, 31)])
def test_lossless_formats_keep_every_8_bit_value(tmp_path, suffix, quality, channels, alpha, size):
    bands = integers(channels + alpha, *size)
    if alpha:
        bands[channels, 0] = 0  # colour under full transparency is kept too
    path = tmp_path / f"a.{suffix}"
    assert write_picture(path, picture_of(bands, channels), quality=quality) == ()
    again = read_picture(path)
    expected = np.broadcast_to(bands[:channels], again.pixels.shape)  # WebP and AVIF give grey back as RGB
    np.testing.assert_array_equal(np.rint(again.pixels * 255), expected)
    if alpha:
        np.testing.assert_array_equal(np.rint(again.alpha * 255), bands[channels:])


def test_avif_keeps_12_bits(tmp_path):
    twelve = np.random.default_rng(0).integers(0, 4096, (3, 20, 30))
    twelve[:, 0, 0] = 4095
    picture = picture_of(((twelve << 4) | (twelve >> 8)).astype(np.uint16), 3)
    assert write_picture(tmp_path / "a.avif", picture, quality=100) == (
        "rounded from 16 to 12 bits, the most that AVIF holds",
    )
    again = read_picture(tmp_path / "a.avif")
    assert again.pixels.max() == 1
    assert again.info.notes == ("scaled from 12 to 16 bits",)
    np.testing.assert_array_equal(np.rint(again.pixels * 4095), twelve)


def test_large_pictures_cross_strips(tmp_path):
    bands = integers(3, 1301, 17)
    write_picture(tmp_path / "a.png", picture_of(bands, 3))
    np.testing.assert_array_equal(as_array(tmp_path / "a.png").transpose(2, 0, 1), bands)
    copy(tmp_path / "a.png", tmp_path / "b.tif")
    np.testing.assert_array_equal(as_array(tmp_path / "b.tif").transpose(2, 0, 1), bands)


def test_an_array_becomes_a_file_as_the_error_says(tmp_path):
    array = np.array([[[0.0, 1.0]]], np.float32)
    with pytest.raises(UsageError, match=r"got ndarray; .* Picture") as raised:
        write_picture(tmp_path / "a.png", array)
    words = re.search(r"Picture\(.*\)$", str(raised.value))[0]
    names = {"width": 2, "height": 1, "channels": 1, "array": array}
    write_picture(tmp_path / "a.png", eval(words, {"Picture": Picture, "PictureInfo": PictureInfo}, names))
    assert as_array(tmp_path / "a.png").tolist() == [[0, 255]]


def test_values_are_clipped_and_rounded(tmp_path):
    values = np.array([[[-1.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 2.0]]], np.float32)
    write_picture(tmp_path / "a.png", Picture(values, None, PictureInfo(5, 1, 1)))
    assert as_array(tmp_path / "a.png").tolist() == [[0, 0, 1, 255, 255]]


def test_16_bits_are_rounded_to_8_not_cut(tmp_path):
    bands = np.array([[[0, 128, 129, 255, 256, 65406, 65407, 65535]]], np.uint16)
    notes = write_picture(tmp_path / "a.webp", picture_of(bands, 1), quality=100)
    assert notes == ("rounded from 16 to 8 bits, the most that WebP holds",)
    assert as_array(tmp_path / "a.webp")[0, :, 0].tolist() == [0, 0, 1, 1, 1, 254, 255, 255]


# Input modes


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("mode, channels, alpha", [("L", 1, 0), ("LA", 1, 1), ("RGB", 3, 0), ("RGBA", 3, 1)])
def test_plain_modes(tmp_path, suffix, mode, channels, alpha):
    bands = integers(channels + alpha)
    data = bands[0] if mode == "L" else bands.transpose(1, 2, 0)
    Image.fromarray(data, mode=None).save(tmp_path / f"a.{suffix}")
    picture = read_picture(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), bands[:channels])
    assert picture.info.has_alpha == bool(alpha)


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(smooth().transpose(1, 2, 0)).quantize(16)
    image.save(tmp_path / "a.png", transparency=3)
    with Image.open(tmp_path / "a.png") as opened:
        expected = np.asarray(opened.convert("RGBA")).transpose(2, 0, 1)
    picture = read_picture(tmp_path / "a.png")
    assert picture.info.notes == ("expanded from a palette to RGB",)
    assert (expected[3] == 0).any()
    np.testing.assert_array_equal(np.rint(picture.pixels * 255), expected[:3])
    np.testing.assert_array_equal(np.rint(picture.alpha[0] * 255), expected[3])
    copy(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as written:
        assert written.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(written).transpose(2, 0, 1), expected)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_one_bit(tmp_path, suffix):
    data = np.random.default_rng(0).random((9, 13)) > 0.5
    Image.fromarray(data).save(tmp_path / f"a.{suffix}")
    picture = read_picture(tmp_path / f"a.{suffix}")
    assert picture.info.notes == ("expanded from 1 to 8 bits",)
    np.testing.assert_array_equal(picture.pixels[0], data)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_without_profile(tmp_path, suffix):
    Image.fromarray(smooth().transpose(1, 2, 0)).convert("CMYK").save(tmp_path / f"a.{suffix}")
    picture = read_picture(tmp_path / f"a.{suffix}")
    assert picture.info.notes == (
        "converted from CMYK to sRGB through a general CMYK profile, because it has none",
    )
    assert picture.pixels.shape[0] == 3
    assert picture.info.icc_profile[16:20] == b"RGB "
    # Ink mixes darker than arithmetic has it, so only a likeness can be asked for.
    assert np.corrcoef(picture.pixels.ravel(), smooth().ravel())[0, 1] > 0.9
    copy(tmp_path / f"a.{suffix}", tmp_path / "b.png")
    assert said(tmp_path / "b.png")["icc_profile"] == picture.info.icc_profile


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [0, 1])
def test_cmyk_through_its_profile(tmp_path, bits, alpha):
    bands = integers(4 + alpha, bits=bits)
    data = np.ascontiguousarray(bands.transpose(1, 2, 0))
    image = pyvips.Image.new_from_array(data).copy(interpretation="cmyk")
    image.icc_import(input_profile="cmyk").icc_export(output_profile="cmyk", depth=bits).tiffsave(
        str(tmp_path / "a.tif")
    )
    picture = read_picture(tmp_path / "a.tif")
    assert picture.info.notes == ("converted from CMYK to sRGB through its colour profile",)
    assert (picture.info.bits, picture.info.has_alpha, picture.info.channels) == (bits, bool(alpha), 3)


def test_grey_with_its_profile_becomes_srgb_where_the_format_has_no_grey(tmp_path):
    made = grey_profile(gamma=1.0)
    bands = np.full((1, 4, 4), 128, np.uint8)
    notes = write_picture(tmp_path / "a.webp", picture_of(bands, 1, icc_profile=made), quality=100)
    assert notes == ("converted from grey to sRGB through its colour profile, because WebP has no grey",)
    # Linear 0.5 is 188 in sRGB.
    assert abs(int(as_array(tmp_path / "a.webp")[0, 0, 0]) - 188) <= 1
    assert said(tmp_path / "a.webp")["icc_profile"][16:20] == b"RGB "


# Orientation and metadata


FLIPS = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_90),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", FLIPS)
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    image = Image.fromarray(smooth(3, 20, 50).transpose(1, 2, 0))
    options = {"lossless": True} if suffix == "webp" else {"quality": 100} if suffix == "jpg" else {}
    image.save(tmp_path / f"a.{suffix}", exif=exif(orientation).tobytes(), dpi=(300, 200), **options)
    copy(tmp_path / f"a.{suffix}", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as written:
        upright = FLIPS[orientation](image)
        difference = np.abs(np.asarray(written).astype(int) - np.asarray(upright))
        assert difference.max() <= (8 if suffix == "jpg" else 0)
        assert written.getexif().get(0x0112, 1) == 1
        if suffix in ("png", "tif"):
            expected = (300, 200) if orientation < 5 else (200, 300)
            assert np.allclose(written.info["dpi"], expected, atol=0.05)
    np.testing.assert_array_equal(as_array(tmp_path / "b.png").shape[:2], upright.size[::-1])
    assert read_picture(tmp_path / "b.png").pixels.shape == (3, *upright.size[::-1])


def save_with_metadata(path):
    options = {"icc_profile": SRGB, "dpi": (300, 300), "exif": exif().tobytes(), "xmp": XMP}
    if path.suffix in (".png", ".tif"):
        options.pop("xmp")
    Image.fromarray(smooth().transpose(1, 2, 0)).save(path, **options)


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_metadata_survives_between_formats(tmp_path, source, target):
    save_with_metadata(tmp_path / f"a.{source}")
    notes = copy(tmp_path / f"a.{source}", tmp_path / f"b.{target}")
    with Image.open(tmp_path / f"b.{target}") as written:
        assert written.info["icc_profile"] == SRGB
        block = written.getexif()
        if source in ("jpg", "png", "tif"):
            resolution = written.info.get("dpi") or (block[0x011A], block[0x011B])
            assert np.allclose([float(value) for value in resolution], 300, atol=0.05)
        assert block[0x010F] == "ACME" and block[0x8298] == "(c) Somebody"
        assert block.get(0x0112, 1) == 1
        details = block.get_ifd(0x8769)
        assert abs(float(details[0x829A]) - 0.008) < 1e-6
        assert details[0x9003] == "2024:01:02 03:04:05"
        assert details[0x927C] == b"MAKER\0\1\2" * 40
        assert block.get_ifd(0x8825)[1] == "N"
        if source in ("jpg", "webp", "avif"):
            found = written.info.get("xmp") or written.info["XML:com.adobe.xmp"].encode()
            assert found == XMP.replace(b'Orientation="6"', b'Orientation="1"')
    assert notes == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_either_byte_order_goes_through_tiff(tmp_path, order):
    block = exif()
    block.endian = order
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.jpg", exif=block.tobytes())
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["exif"][6:8] == (b"II" if order == "<" else b"MM")
    copy(tmp_path / "a.jpg", tmp_path / "b.tif")
    copy(tmp_path / "b.tif", tmp_path / "c.tif")
    for name in ("b.tif", "c.tif"):
        with Image.open(tmp_path / name) as written:
            details = written.getexif().get_ifd(0x8769)
            assert abs(float(details[0x829A]) - 0.008) < 1e-6 and details[0x927C] == b"MAKER\0\1\2" * 40
            assert (details[0xA002], details[0xA003]) == (60, 40)


@pytest.mark.parametrize("big", [False, True])
def test_damaged_tiff_directories_are_no_crash(tmp_path, big):
    path = tmp_path / "a.tif"
    image = pyvips.Image.black(8, 8).copy(interpretation="b-w")
    image.tiffsave(str(path), bigtiff=big)
    add_tiff_metadata(path, TiffMetadata(exif().tobytes()[6:], IPTC))
    found = read_tiff_metadata(find_page(path), orientation=1, recoded=False)
    assert found.exif and found.iptc == IPTC
    assert read_picture(path).pixels.shape == (1, 8, 8)
    data, generator = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[generator.integers(2, len(data), 6)] = generator.choice([0, 1, 255], 6)
        path.write_bytes(damaged[: generator.integers(20, len(data))].tobytes())
        with contextlib.suppress(PictureError):
            read_tiff_metadata(find_page(path), orientation=6, recoded=True)


def test_exif_is_not_invented(tmp_path):
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.png")
    for suffix in ("png", "jpg", "webp", "avif"):
        copy(tmp_path / "a.png", tmp_path / f"b.{suffix}")
        with Image.open(tmp_path / f"b.{suffix}") as written:
            assert "exif" not in written.info and "icc_profile" not in written.info


@pytest.mark.parametrize(
    "form", [b'tiff:Orientation="%d"', b"tiff:Orientation='%d'", b"tiff:Orientation>%d<"]
)
def test_xmp_does_not_contradict_the_pixels(tmp_path, form):
    xmp = XMP.replace(b'tiff:Orientation="6"', form % 8)
    if b"<" in form:
        xmp = XMP.replace(
            b'tiff:Orientation="6"/>', b"><" + form % 8 + b"/tiff:Orientation></rdf:Description>"
        )
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.jpg", xmp=xmp)
    assert read_picture(tmp_path / "a.jpg").info.xmp == xmp.replace(form % 8, form % 1)


@pytest.mark.parametrize("name", [b"", b"ab", b"abc"])
def test_iptc_crosses_from_jpeg_to_tiff_and_back(tmp_path, name):
    stream = io.BytesIO()
    Image.fromarray(smooth().transpose(1, 2, 0)).save(stream, "jpeg")
    segment = photoshop_envelope(IPTC, name)
    data = stream.getvalue()
    marked = data[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    (tmp_path / "a.jpg").write_bytes(marked)
    assert read_picture(tmp_path / "a.jpg").info.iptc == IPTC
    assert copy(tmp_path / "a.jpg", tmp_path / "b.tif") == ()
    assert copy(tmp_path / "b.tif", tmp_path / "c.jpg") == ()
    assert read_picture(tmp_path / "c.jpg").info.iptc.rstrip(b"\0") == IPTC
    with Image.open(tmp_path / "c.jpg") as written:
        assert written.info["photoshop"][0x0404].rstrip(b"\0") == IPTC
    assert copy(tmp_path / "a.jpg", tmp_path / "d.png") == ("left out its IPTC, which PNG cannot hold",)


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_of_the_old_picture_goes_and_the_rest_stays(tmp_path, target, order):
    small = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(small, "JPEG")
    block = exif()
    block.endian = order
    data = block.tobytes()[6:]
    (count,) = struct.unpack_from(order + "H", data, 8)
    end, size = 10 + 12 * count, len(small.getvalue())
    second = struct.pack(order + "H", 3)
    for tag, kind, value in ((0x0103, 3, 6), (0x0201, 4, len(data) + 42), (0x0202, 4, size)):
        number = struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        second += struct.pack(order + "HHI", tag, kind, 1) + number
    data = data[:end] + struct.pack(order + "I", len(data)) + data[end + 4 :] + second + bytes(4)
    data = b"Exif\0\0" + data + small.getvalue()
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.jpg", exif=data)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0202] == size, "it is there"
    assert copy(tmp_path / "a.jpg", tmp_path / f"b.{target}") == ()
    assert small.getvalue() not in (tmp_path / f"b.{target}").read_bytes()
    with Image.open(tmp_path / f"b.{target}") as image:
        block = image.getexif()
        assert 0x0201 not in block.get_ifd(ExifTags.IFD.IFD1)
        assert block[0x010F] == "ACME" and block.get_ifd(0x8769)[0x927C] == b"MAKER\0\1\2" * 40


@pytest.mark.parametrize("length", range(0, 40, 3))
def test_a_cut_exif_block_is_no_error(length):
    block = exif().tobytes()[6:]
    assert turned_exif(block[:length], 1, (60, 40)) == block[:length]


@pytest.mark.parametrize("cut", range(14, len(photoshop_envelope(IPTC))))
def test_a_cut_iptc_block_is_no_error(tmp_path, cut):
    found, _, _ = split_resources(photoshop_envelope(IPTC)[14:cut], 1)
    assert found is None or IPTC.startswith(found)


def test_png_text_is_kept_or_reported(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Title", "a - b")
    text.add_text("parameters", "steps: 3")
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.png", pnginfo=text)
    assert copy(tmp_path / "a.png", tmp_path / "b.png") == ()
    with Image.open(tmp_path / "b.png") as written:
        assert written.info["Title"] == "a - b" and written.info["parameters"] == "steps: 3"
    assert copy(tmp_path / "a.png", tmp_path / "b.jpg") == ("left out its text, which JPEG cannot hold",)
    text.add_text("Author", "café")
    text.add_itxt("Place", "東京")
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "c.png", pnginfo=text)
    assert copy(tmp_path / "c.png", tmp_path / "d.png") == ()
    with Image.open(tmp_path / "d.png") as written:
        kept = {"Title": "a - b", "parameters": "steps: 3", "Author": "café", "Place": "東京"}
        assert written.text == kept


def test_comments_of_jpeg_are_kept_or_reported(tmp_path):
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.jpg", comment="caf\u00e9", exif=exif())
    assert copy(tmp_path / "a.jpg", tmp_path / "b.jpg") == ()
    assert said(tmp_path / "b.jpg")["comment"] == "caf\u00e9".encode()
    for suffix in ("png", "webp", "tif", "avif"):
        (note,) = copy(tmp_path / "a.jpg", tmp_path / f"c.{suffix}")
        assert note.startswith("left out its comments, which ")


def test_png_keywords_beyond_ascii_are_refused(tmp_path):
    refused(with_chunks(tmp_path / "a.png", tEXt="Bildgröße\0klein".encode("latin-1")), "keyword")


def test_a_profile_for_other_colours_is_left_out_aloud(tmp_path):
    bands = integers(1)
    for suffix in ("png", "jpg", "tif"):
        notes = write_picture(tmp_path / f"a.{suffix}", picture_of(bands, 1, icc_profile=SRGB))
        assert notes == ("left out its colour profile, which is not for grey",)
        grey = grey_profile(2.2)
        assert write_picture(tmp_path / f"b.{suffix}", picture_of(bands, 1, icc_profile=grey)) == ()
        assert said(tmp_path / f"b.{suffix}")["icc_profile"] == grey


def test_jpeg_has_no_room_for_large_metadata(tmp_path):
    without_properties = b"<note>" + b"long " * 15_000 + b"</note>"  # which could stand in a second packet
    picture = picture_of(smooth(), 3, xmp=without_properties)
    assert write_picture(tmp_path / "a.jpg", picture) == (
        "left out its XMP, which is larger than the 64 KiB that JPEG can hold",
    )


# Alpha


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "avif"])
def test_alpha_passes_through(tmp_path, suffix):
    bands = integers(4)
    save_bands(tmp_path / "a.png", bands, "srgb")
    notes = copy(tmp_path / "a.png", tmp_path / f"b.{suffix}", quality=100 if suffix == "avif" else None)
    assert notes == ()
    np.testing.assert_array_equal(as_array(tmp_path / f"b.{suffix}")[..., 3], bands[3])


def test_alpha_in_lossy_avif_is_reported(tmp_path):
    save_bands(tmp_path / "a.png", integers(4), "srgb")
    assert copy(tmp_path / "a.png", tmp_path / "b.avif") == (
        "stored alpha with loss, as AVIF does below quality 100",
    )


@pytest.mark.parametrize("bits", [8, 16])
def test_jpeg_flattens_transparency_onto_white(tmp_path, bits):
    bands = np.zeros((4, 16, 32), np.uint8 if bits == 8 else np.uint16)
    bands[3, :, :16] = 2**bits - 1
    save_bands(tmp_path / "a.png", bands, "srgb" if bits == 8 else "rgb16")
    notes = copy(tmp_path / "a.png", tmp_path / "b.jpg")
    assert notes[0] == "flattened transparency onto white, because JPEG has none"
    written = as_array(tmp_path / "b.jpg")
    assert written[:, :16].max() <= 1 and written[:, 16:].min() >= 254


def test_another_size_takes_alpha_along(tmp_path):
    bands = np.concatenate([smooth(), np.full((1, 40, 60), 255, np.uint8)])
    bands[3, :, :30] = 0
    save_bands(tmp_path / "a.png", bands, "srgb")
    with (
        open_picture(tmp_path / "a.png") as reader,
        create_picture(tmp_path / "b.png", reader, width=123, height=81) as writer,
    ):
        writer.write(np.zeros((3, 81, 123), np.uint8))
    alpha = as_array(tmp_path / "b.png")[..., 3]
    assert alpha.shape == (81, 123)
    assert alpha[:, :59].max() == 0 and alpha[:, 64:].min() == 255


def test_alpha_is_never_dropped_by_mistake(tmp_path):
    info = PictureInfo(3, 2, 3, has_alpha=True)
    with pytest.raises(UsageError, match="alpha"), create_picture(tmp_path / "a.png", info):
        pass


# Refusals


def test_further_images_in_a_jpeg_are_reported(tmp_path):
    frames = [Image.fromarray(integers(seed=seed).transpose(1, 2, 0)) for seed in (0, 1)]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.jpg").info.notes == (
        "left out the further images in the file (preview, gain map or depth map)",
    )


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}])
@pytest.mark.parametrize("big", [False, True])
def test_camera_raw_files_are_refused(tmp_path, tags, big):
    image = Image.fromarray(smooth().transpose(1, 2, 0))
    image.save(tmp_path / "a.tif", tiffinfo=tags, big_tiff=big)
    refused(tmp_path / "a.tif", "camera raw")
    image.save(tmp_path / "b.tif", tiffinfo={254: 0}, big_tiff=big)
    assert read_picture(tmp_path / "b.tif").info.notes == ()


def test_smaller_versions_in_a_tiff_are_reported(tmp_path):
    options = {"tile": True, "pyramid": True, "subifd": True, "tile_width": 16, "tile_height": 16}
    save_bands(tmp_path / "a.tif", integers(3, 90, 120), "srgb", **options)
    assert read_picture(tmp_path / "a.tif").info.notes == (
        "left out the further images in the file (smaller versions or previews)",
    )


def nclx(path, primaries, transfer):
    """Write an AVIF with colour codes; Pillow writes them as 1 and 13."""
    Image.fromarray(smooth().transpose(1, 2, 0)).save(path)
    data = path.read_bytes()
    assert data.count(b"colrnclx\0\1\0\x0d") == 1
    codes = b"colrnclx" + struct.pack(">HH", primaries, transfer)
    path.write_bytes(data.replace(b"colrnclx\0\1\0\x0d", codes))
    return path


@pytest.mark.parametrize("transfer, name", [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused(tmp_path, transfer, name):
    refused(with_chunks(tmp_path / "a.png", cICP=bytes([9, transfer, 0, 1])), name)
    refused(nclx(tmp_path / "a.avif", 9, transfer), name)


SRGB_PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
WIDE_PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


@pytest.mark.parametrize(
    "chunks, lost",
    [
        ({"gAMA": struct.pack(">I", 45455), "cHRM": SRGB_PRIMARIES}, None),
        ({"gAMA": struct.pack(">I", 100_000), "cHRM": SRGB_PRIMARIES}, "gAMA"),
        ({"gAMA": struct.pack(">I", 55_556), "cHRM": WIDE_PRIMARIES}, "gAMA and cHRM"),
        ({"gAMA": struct.pack(">I", 55_556), "sRGB": b"\0"}, None),
        ({"gAMA": b"\0"}, None),
        ({"cICP": bytes([1, 13, 0, 1])}, None),
        ({"cICP": bytes([12, 13, 0, 1])}, "primaries 12, transfer 13 in H.273"),
        ({"cICP": bytes([1, 8, 0, 1])}, "primaries 1, transfer 8 in H.273"),
        (
            {"cICP": bytes([12, 13, 0, 1]), "iCCP": b"P3\0\0" + zlib.compress(SRGB)},
            "primaries 12, transfer 13 in H.273",
        ),
        ({"cICP": bytes([1, 13, 0, 0])}, "primaries 1, transfer 13, limited range in H.273"),
    ],
)
def test_colours_described_otherwise_than_by_a_profile_are_reported(tmp_path, chunks, lost):
    expected = () if lost is None else (f"left out its colour description ({lost})",)
    if "iCCP" in chunks:  # the codes come first for readers, so that the profile alone can mean others
        expected = (f"{expected[0]}, and kept its colour profile",)
    assert read_picture(with_chunks(tmp_path / "a.png", **chunks)).info.notes == expected


def test_primaries_of_avif_are_reported(tmp_path):
    assert read_picture(nclx(tmp_path / "a.avif", 12, 13)).info.notes == (
        "left out its colour description (primaries 12, transfer 13 in H.273)",
    )
    for usual in (1, 2):
        assert read_picture(nclx(tmp_path / "a.avif", usual, usual)).info.notes == ()


def test_reading_and_writing_from_other_threads(tmp_path):
    write_picture(tmp_path / "a.png", picture_of(integers(), 3))
    with (
        ThreadPoolExecutor(1) as pool,
        open_picture(tmp_path / "a.png") as reader,
        create_picture(tmp_path / "b.png", reader) as writer,
    ):
        writer.write(reader.rows(0, 9))
        rows = pool.submit(reader.rows, 9, 23).result()
        pool.submit(writer.write, rows).result()
    np.testing.assert_array_equal(as_array(tmp_path / "b.png").transpose(2, 0, 1), integers())


def test_rows_are_read_once_and_within_the_picture(tmp_path):
    write_picture(tmp_path / "a.png", picture_of(integers(), 3))
    with open_picture(tmp_path / "a.png") as reader:
        reader.rows(0, 5)
        np.testing.assert_array_equal(reader.rows(9, 10), integers()[:, 9:10])
        for top, bottom in [(0, 5), (9, 11), (12, 12), (20, 24)]:
            with pytest.raises(UsageError, match="rows"):
                reader.rows(top, bottom)


# Writing: all or nothing


@pytest.mark.parametrize("name", ["a", "a.gif", "a.txt"])
def test_unknown_suffixes(tmp_path, name):
    with pytest.raises(UsageError, match=r"use \.png, \.jpg"):
        write_picture(tmp_path / name, picture_of(integers(), 3))
    assert names(tmp_path) == []


FORMAT_OF = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".jpe": "JPEG", ".webp": "WEBP",
    ".tif": "TIFF", ".tiff": "TIFF", ".avif": "AVIF",
}  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_known_suffix_is_written_in_its_format(tmp_path, suffix):
    path = tmp_path / f"a{suffix.upper()}"
    write_picture(path, picture_of(smooth(), 3))
    with Image.open(path) as written:
        assert written.format == FORMAT_OF[suffix]


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_impossible_quality(tmp_path, quality):
    with pytest.raises(UsageError, match="1 to 100"):
        write_picture(tmp_path / "a.jpg", picture_of(integers(), 3), quality=quality)


@pytest.mark.parametrize(
    "info", [PictureInfo(0, 1, 1), PictureInfo(1, -1, 1), PictureInfo(1, 1, 4), PictureInfo(1, 1, 1, 12)]
)
def test_impossible_pictures(tmp_path, info):
    with pytest.raises(UsageError, match="asked for"), create_picture(tmp_path / "a.png", info):
        pass


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
def test_quality_sets_the_size(tmp_path, suffix):
    low, high = tmp_path / f"low.{suffix}", tmp_path / f"high.{suffix}"
    write_picture(low, picture_of(integers(), 3), quality=20)
    write_picture(high, picture_of(integers(), 3), quality=98)
    assert low.stat().st_size < high.stat().st_size


@pytest.mark.parametrize(
    "before, asked, after", [(30, None, 95), (95, None, 95), (98, None, 98), (100, None, 100), (98, 60, 60)]
)
def test_jpeg_stays_as_good_as_it_was_and_is_never_saved_worse_than_95(tmp_path, before, asked, after):
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.jpg", quality=before)
    assert copy(tmp_path / "a.jpg", tmp_path / "b.jpg", quality=asked) == ()
    write_picture(tmp_path / "c.jpg", read_picture(tmp_path / "a.jpg"), quality=asked)
    for name in ("b.jpg", "c.jpg"):
        assert read_picture(tmp_path / name).info.quality == after


@pytest.mark.parametrize("option, shared", [("4:4:4", (1, 1)), ("4:2:2", (1, 1)), ("4:2:0", (2, 2))])
@pytest.mark.parametrize("quality", [None, 90, 50])
def test_colours_of_jpeg_are_never_coarser_than_they_were(tmp_path, option, shared, quality):
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / "a.jpg", subsampling=option)
    copy(tmp_path / "a.jpg", tmp_path / "b.jpg", quality=quality)
    assert read_picture(tmp_path / "b.jpg").info.subsampling == (shared if quality == 50 else (1, 1))
    copy(tmp_path / "a.jpg", tmp_path / "c.png")
    copy(tmp_path / "c.png", tmp_path / "d.jpg", quality=quality)  # whose original says nothing
    assert read_picture(tmp_path / "d.jpg").info.subsampling == ((2, 2) if quality == 50 else (1, 1))


@pytest.mark.parametrize("suffix, side", [("jpg", 65_501), ("webp", 16_384), ("avif", 16_385)])
def test_sizes_that_a_format_cannot_hold(tmp_path, suffix, side):
    with (
        pytest.raises(PictureError, match=f"at most {side - 1}.*write PNG or TIFF"),
        create_picture(tmp_path / f"a.{suffix}", PictureInfo(side, 1, 3)),
    ):
        pass
    write_picture(
        tmp_path / f"b.{suffix}", Picture(np.zeros((3, 1, side - 1), np.float32), None, PictureInfo(0, 0, 3))
    )
    assert names(tmp_path) == [f"b.{suffix}"]


def test_existing_files_are_kept_unless_asked(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("precious")
    with pytest.raises(UsageError, match="already exists"):
        write_picture(path, picture_of(integers(), 3))
    assert path.read_text() == "precious"
    path.chmod(0o640)
    write_picture(path, picture_of(integers(), 3), overwrite=True)
    assert path.stat().st_mode & 0o777 == 0o640
    np.testing.assert_array_equal(as_array(path).transpose(2, 0, 1), integers())


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "a.png"
    with (
        pytest.raises(PictureError, match="created in the meantime"),
        create_picture(path, PictureInfo(2, 1, 1)) as writer,
    ):
        writer.write(np.zeros((1, 1, 2), np.uint8))
        path.write_text("precious")
    assert path.read_text() == "precious" and names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_file_can_replace_itself(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    options = {"tiffinfo": {274: orientation}} if suffix == "tif" else {"exif": exif(orientation).tobytes()}
    mode = "RGB" if suffix == "jpg" else "RGBA"
    Image.fromarray(integers(len(mode), 90, 120).transpose(1, 2, 0)).save(path, **options)
    expected = read_picture(path)
    for _ in range(2):  # a second time, so that nothing remembered from the first is read
        copy(path, path, overwrite=True)
    again = read_picture(path)
    tolerance = 0.1 if suffix == "jpg" else 0
    assert np.abs(again.pixels - expected.pixels).mean() <= tolerance
    if mode == "RGBA":
        np.testing.assert_array_equal(again.alpha, expected.alpha)
    assert names(tmp_path) == [f"a.{suffix}"]


def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "a.png")
    write_picture(tmp_path / "link.png", picture_of(integers(), 3))
    assert (tmp_path / "link.png").is_symlink() and names(tmp_path / "real") == ["a.png"]


def test_messages_name_the_file_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").touch()
    Path("link.png").symlink_to("a.png")
    for name in ("a.png", "link.png", "missing/a.png"):
        with pytest.raises((UsageError, PictureError), match=f"^{re.escape(name)}: "):
            write_picture(name, picture_of(integers(), 3))


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_nothing(tmp_path, failure):
    with pytest.raises(failure), create_picture(tmp_path / "a.png", PictureInfo(5, 9, 1)) as writer:
        writer.write(np.zeros((1, 4, 5), np.uint8))
        raise failure
    assert names(tmp_path) == []


def test_missing_rows_leave_nothing(tmp_path):
    with (
        pytest.raises(PictureError, match="4 of 9 rows"),
        create_picture(tmp_path / "a.png", PictureInfo(5, 9, 1)) as writer,
    ):
        writer.write(np.zeros((1, 4, 5), np.uint8))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((1, 10, 5), np.uint8),
        np.zeros((1, 2, 6), np.uint8),
        np.zeros((3, 2, 5), np.uint8),
        np.zeros((1, 2, 5), np.uint16),
        np.zeros((1, 2, 5), np.float32),
        np.zeros((2, 5), np.uint8),
    ],
)
def test_rows_that_do_not_fit(tmp_path, rows):
    with (
        pytest.raises(UsageError, match=re.escape(f"{rows.shape} and type {rows.dtype}")),
        create_picture(tmp_path / "a.png", PictureInfo(5, 9, 1)) as writer,
    ):
        writer.write(rows)
    assert names(tmp_path) == []


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_pixels_must_be_numbers(tmp_path, values):
    picture = Picture(np.full((1, 2, 2), values, np.float32), None, PictureInfo(2, 2, 1))
    with pytest.raises(UsageError, match="NaN"):
        write_picture(tmp_path / "a.png", picture)
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", KINDS)
def test_a_failing_encoder_leaves_nothing(tmp_path, monkeypatch, suffix):
    (save_name,) = (known.save for known in FORMATS if f".{suffix}" in known.suffixes)

    def fail(self, path, **options):
        Path(os.fsdecode(path)).write_bytes(b"half a file")
        raise pyvips.Error("unable to call", "first line\nsecond line\n")

    monkeypatch.setattr(pyvips.Image, save_name, fail, raising=False)
    with pytest.raises(PictureError, match=r"cannot be written \(first line\)"):
        write_picture(tmp_path / f"a.{suffix}", picture_of(integers(), 3))
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a[1].png", "a[page=1].tif", "with space.png", "[b].webp", "ü é 画.avif"])
def test_odd_names(tmp_path, name):
    write_picture(tmp_path / name, picture_of(smooth(), 3))
    assert read_picture(tmp_path / name).pixels.shape == (3, 40, 60)
    assert names(tmp_path) == [name]


# What importing costs, and memory


def test_importing_does_not_load_libvips():
    code = "import hyperrestore.picture.file, sys; assert 'pyvips' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_does_not_grow_with_the_picture(tmp_path):
    code = (
        "import resource, sys\n"
        "from hyperrestore.picture.file import *\n"
        "def copy(source, target):\n"
        "    with open_picture(source) as reader, create_picture(target, reader) as writer:\n"
        "        for top in range(0, reader.info.height, 64):\n"
        "            writer.write(reader.rows(top, min(top + 64, reader.info.height)))\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "small, large, target = sys.argv[1:]\n"
        "before = copy(small, target + '1.png')\n"
        "print(copy(large, target + '2.png') - before)\n"
    )
    noise = pyvips.Image.black(3000, 6000, bands=3).copy(interpretation="srgb")  # 54 MB of pixels
    noise.write_to_file(str(tmp_path / "large.png"), compression=1)
    noise.crop(0, 0, 3000, 300).write_to_file(str(tmp_path / "small.png"), compression=1)
    paths = [tmp_path / "small.png", tmp_path / "large.png", tmp_path / "out"]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20

"""Files that libvips reads otherwise than they are meant, or parts of which it drops without a word."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_metadata import jpeg
from test_picture import SRGB, copy, grey_profile, integers, refused, smooth, with_chunks

from hyperrestore.further_parts import further_parts
from hyperrestore.picture import read_picture
from hyperrestore.splice import remove

GREY = grey_profile(2.2)
PROFILE_LEFT_OUT = "left out its colour profile, which is damaged or not for such colours"


def lines(path):
    """What is said when a file is read and written again in its format."""
    target = path.with_name("copy" + path.suffix)
    notes = read_picture(path).info.notes + copy(path, target, overwrite=True)
    return notes, read_picture(target).info


# Colour profiles


def in_jpeg(*segments):
    return [(0xE2, b"ICC_PROFILE\0" + segment) for segment in segments]


@pytest.mark.parametrize(
    "segments",
    [
        [b"\1\1no profile"],
        [b"\0\0" + SRGB],
        [b"\1\2" + SRGB[:300]],
        [b"\1\1" + SRGB[:300]],
        [b"\1\1" + SRGB[:36] + b"!!!!" + SRGB[40:]],
    ],
)
def test_a_damaged_profile_in_a_jpeg_is_said_and_not_carried_on(tmp_path, segments):
    notes, info = lines(jpeg(tmp_path / "a.jpg", *in_jpeg(*segments)))
    assert (notes, info.icc_profile) == ((PROFILE_LEFT_OUT,), None)


def test_a_profile_in_pieces_and_one_with_padding_are_kept(tmp_path):
    halves = [b"\2\2" + SRGB[200:], b"\1\2" + SRGB[:200]]
    assert lines(jpeg(tmp_path / "a.jpg", *in_jpeg(*halves)))[1].icc_profile == SRGB
    padded = SRGB + bytes(7)
    notes, info = lines(jpeg(tmp_path / "a.jpg", *in_jpeg(b"\1\1" + padded)))
    assert (notes, info.icc_profile) == ((), padded)


@pytest.mark.parametrize("profile", [SRGB[:300], GREY])
def test_a_profile_that_libpng_refuses_is_said(tmp_path, profile):
    path = with_chunks(tmp_path / "a.png", iCCP=b"a\0\0" + zlib.compress(profile))
    notes, info = lines(path)
    assert (notes, info.icc_profile) == ((PROFILE_LEFT_OUT,), None)


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".avif"])
def test_a_damaged_profile_of_other_formats_is_said(tmp_path, suffix):
    path = tmp_path / ("a" + suffix)
    Image.fromarray(smooth().transpose(1, 2, 0)).save(path, icc_profile=SRGB[:300])
    notes, info = lines(path)
    assert (notes, info.icc_profile) == ((PROFILE_LEFT_OUT,), None)


@pytest.mark.parametrize(
    "profile, source", [(None, "as it has none"), (SRGB, "as its own is for other colours")]
)
def test_cmyk_is_not_said_to_be_converted_through_a_profile_for_rgb(tmp_path, profile, source):
    image = Image.fromarray(smooth().transpose(1, 2, 0)).convert("CMYK")
    image.save(tmp_path / "a.tif", **({"icc_profile": profile} if profile else {}))
    (note,) = read_picture(tmp_path / "a.tif").info.notes
    assert note == f"converted from CMYK to sRGB through a general CMYK profile, {source}"


# Resolution and shape of pixels


@pytest.mark.parametrize("dots", [(2835, 2835), (1000, 1000), (11_811, 5906), (1, 1)])
def test_the_resolution_of_a_png_stays_as_it_was(tmp_path, dots):
    notes, info = lines(with_chunks(tmp_path / "a.png", pHYs=struct.pack(">IIB", *dots, 1)))
    assert notes == ()
    assert info.resolution == (dots[0] / 1000, dots[1] / 1000)


def test_a_png_without_resolution_gets_none(tmp_path):
    notes, info = lines(with_chunks(tmp_path / "a.png"))
    assert (notes, info.resolution) == ((), None)
    assert b"pHYs" not in (tmp_path / "copy.png").read_bytes()
    Image.open(tmp_path / "copy.png").load()


def test_the_shape_of_pixels_of_a_png_is_said_and_no_resolution(tmp_path):
    notes, info = lines(with_chunks(tmp_path / "a.png", pHYs=struct.pack(">IIB", 2, 1, 0)))
    assert (notes, info.resolution) == (("left out the shape of its pixels (2:1)",), None)
    assert lines(with_chunks(tmp_path / "b.png", pHYs=struct.pack(">IIB", 3, 3, 0)))[0] == ()


@pytest.mark.parametrize("shape, said", [((2, 1), ("left out the shape of its pixels (2:1)",)), ((1, 1), ())])
def test_the_shape_of_pixels_of_an_avif_is_said(tmp_path, shape, said):
    path = tmp_path / "a.avif"
    Image.fromarray(smooth().transpose(1, 2, 0)).save(path)
    data = path.read_bytes()
    box = struct.pack(">I4sII", 16, b"pasp", *shape)
    start = data.index(b"ipco") + 4
    data = bytearray(data[:start] + box + data[start:])
    for name in (b"meta", b"iprp", b"ipco"):
        place = data.index(name) - 4
        (size,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, size + len(box))
    path.write_bytes(data)
    assert further_parts(path, "AVIF") == said


# Chunks of PNG


@pytest.mark.parametrize(
    "chunks, said",
    [
        ({"bKGD": struct.pack(">HHH", 255, 0, 0)}, "left out its chunks bKGD"),
        ({"sPLT": b"a\0\x08" + bytes([1, 2, 3, 4, 0, 5])}, "left out its chunks sPLT"),
        ({"cLLI": bytes(8)}, "left out its chunks cLLI"),
        (
            {"iTXt": b"Title\0\0\0de\0Titel\0a house"},
            "left out the languages of its texts, and their keywords in these",
        ),
    ],
)
def test_chunks_of_png_that_are_not_written_are_said(tmp_path, chunks, said):
    assert lines(with_chunks(tmp_path / "a.png", **chunks))[0] == (said,)


def test_a_second_xmp_packet_of_a_png_is_said(tmp_path):
    def packet(word):
        return (
            b"XML:com.adobe.xmp\0\0\0\0\0"
            b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="'
            + word
            + b'"/></rdf:RDF>'
        )

    first = with_chunks(tmp_path / "a.png", iTXt=packet(b"one")).read_bytes()
    second = with_chunks(tmp_path / "a.png", iTXt=packet(b"two")).read_bytes()
    path = tmp_path / "a.png"
    chunk = second[33 : second.index(b"</rdf:RDF>") + len(b"</rdf:RDF>") + 4]
    path.write_bytes(first[:33] + chunk + first[33:])
    notes, info = lines(path)
    assert notes == ("left out all but the last of its XMP packets",)
    assert b"one" in info.xmp


# Samples of TIFF


def save_tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, photometric=options.pop("photometric", "rgb"), **options)
    return path


def test_floats_of_16_bits_are_looked_through_as_those_of_32(tmp_path, rng):
    pixels = rng.random((20, 30, 3))
    half = pixels.astype(np.float16)
    refused(save_tiff(tmp_path / "a.tif", half), "no colour profile")
    refused(save_tiff(tmp_path / "b.tif", 4 * half, iccprofile=SRGB), "reach from")
    refused(save_tiff(tmp_path / "c.tif", half * np.inf, iccprofile=SRGB), "infinite or not a number")
    found = read_picture(save_tiff(tmp_path / "d.tif", half, iccprofile=SRGB))
    assert found.info.notes == ("rounded from floats to 16 bits",)
    np.testing.assert_allclose(found.pixels, half.transpose(2, 0, 1), rtol=0, atol=1e-5)


def test_floats_whose_white_is_0_are_refused(tmp_path, rng):
    pixels = rng.random((20, 30)).astype(np.float32)
    path = save_tiff(tmp_path / "a.tif", pixels, photometric="miniswhite", iccprofile=GREY)
    refused(path, "floats of which 0 is white")


def test_a_volume_in_one_page_is_refused(tmp_path):
    stack = integers(4, 32, 48)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", volumetric=True, tile=(4, 32, 48))
    refused(path, "a stack of 4 pictures")


def test_a_large_stack_of_imagej_is_refused(tmp_path):
    """ImageJ gives stacks beyond 4 GiB one directory, and says only in words how many pictures follow."""
    for name, images in (("a.tif", 3), ("b.tif", 1)):
        words = f"ImageJ=1.53\nimages={images}\n"
        save_tiff(tmp_path / name, smooth().transpose(1, 2, 0), description=words, metadata=None)
    refused(tmp_path / "a.tif", "a stack of 3 pictures")
    assert read_picture(tmp_path / "b.tif").info.notes == ()


@pytest.mark.parametrize("start, end", [(0, 3), (4, 4), (7, 5_000_000), (5_000_000, 10_000_000)])
def test_bytes_are_removed(tmp_path, start, end):
    data = np.random.default_rng(5).bytes(10_000_000)
    (tmp_path / "a").write_bytes(data)
    remove(tmp_path / "a", start, end)
    assert (tmp_path / "a").read_bytes() == data[:start] + data[end:]

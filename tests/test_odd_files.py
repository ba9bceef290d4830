"""Files that libvips reads otherwise than they are meant, or parts of which it drops without a word."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from makers import SRGB, copy, exif, grey_profile, integers, jpeg_with, refused, smooth, with_chunks
from PIL import Image

from hyperrestore.picture.containers.splice import remove
from hyperrestore.picture.file import read_picture, write_picture
from hyperrestore.picture.metadata.exif import turned_exif
from hyperrestore.picture.metadata.further_parts import further_parts

GREY = grey_profile(2.2)
PROFILE_LEFT_OUT = "left out its colour profile, which is damaged or for other colours"


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
    notes, info = lines(jpeg_with(tmp_path / "a.jpg", *in_jpeg(*segments)))
    assert (notes, info.icc_profile) == ((PROFILE_LEFT_OUT,), None)


def test_a_profile_in_pieces_and_one_with_padding_are_kept(tmp_path):
    halves = [b"\2\2" + SRGB[200:], b"\1\2" + SRGB[:200]]
    assert lines(jpeg_with(tmp_path / "a.jpg", *in_jpeg(*halves)))[1].icc_profile == SRGB
    padded = SRGB + bytes(7)
    notes, info = lines(jpeg_with(tmp_path / "a.jpg", *in_jpeg(b"\1\1" + padded)))
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
    "profile, source", [(None, "because it has none"), (SRGB, "because its own is for other colours")]
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
    assert (notes, info.resolution) == (("left out its pixel aspect ratio (2:1)",), None)
    assert lines(with_chunks(tmp_path / "b.png", pHYs=struct.pack(">IIB", 3, 3, 0)))[0] == ()


@pytest.mark.parametrize("shape, said", [((2, 1), ("left out its pixel aspect ratio (2:1)",)), ((1, 1), ())])
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
            "left out the languages and translated keywords of its texts",
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


def test_texts_keep_their_keywords_and_their_place_does_not_matter(tmp_path):
    texts = {
        "Creation Time": "now",
        "Raw profile type x": "a" * 500,
        "K" * 79: "",
        "Größe": "groß",
        "A b": "東",
    }
    chunks = [
        (b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1"))
        for key, value in texts.items()
        if key.isascii() and value.isascii()
    ]
    chunks += [(b"iTXt", b"A b\0\1\0\0\0" + zlib.compress("東".encode()))]
    data = with_chunks(tmp_path / "a.png").read_bytes()
    added = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    (tmp_path / "a.png").write_bytes(data[:-12] + added + data[-12:])
    assert lines(tmp_path / "a.png")[0] == ()
    with Image.open(tmp_path / "copy.png") as written:
        assert written.text == {key: value for key, value in texts.items() if key.isascii()}


def test_texts_that_no_png_can_hold_are_said(tmp_path):
    picture = read_picture(with_chunks(tmp_path / "a.png"))
    text = (("", "a"), ("K" * 80, "a"), ("東", "a"), ("A", "a\0b"), ("Größe", "groß"))
    notes = write_picture(tmp_path / "b.png", replace(picture, info=replace(picture.info, text=text)))
    assert notes == ("left out 4 of its text entries, whose keywords PNG cannot hold",)


@pytest.mark.parametrize(
    "content", [b"a\0\0" + zlib.compress(b"abc")[:-3], b"a\0\0" + zlib.compress(bytes(2**25))]
)
def test_damaged_texts_and_bombs_are_said(tmp_path, content):
    (note,) = lines(with_chunks(tmp_path / "a.png", zTXt=content))[0]
    assert note == "left out text entries that are damaged, or longer than 16 MiB"


# EXIF


def test_exif_under_a_wrong_header_in_a_png_is_said(tmp_path):
    block = exif(6).tobytes()
    assert block.startswith(b"Exif\0\0")
    path = with_chunks(tmp_path / "a.png", eXIf=block)
    assert lines(path)[0] == ("left out its EXIF, which cannot be read",)
    assert lines(with_chunks(tmp_path / "b.png", eXIf=block[6:]))[0] == ()


def test_exif_that_the_head_of_a_webp_does_not_tell_of_is_said(tmp_path):
    path = tmp_path / "a.webp"
    Image.fromarray(smooth().transpose(1, 2, 0)).save(path, exif=exif(6))
    assert lines(path)[0] == ()
    data = bytearray(path.read_bytes())
    data[20] &= ~0x08
    path.write_bytes(data)
    assert lines(path)[0] == ("left out its EXIF, which cannot be read",)


def test_an_orientation_that_is_said_twice_is_changed_twice():
    entry = struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
    block = b"II*\0" + struct.pack("<IH", 8, 2) + 2 * entry + bytes(4)
    upright = struct.pack("<HHIHH", 0x112, 3, 1, 1, 0)
    assert turned_exif(block, 6, (30, 20)) == block.replace(entry, upright)


def test_boxes_of_jpeg_xt_are_no_content_credentials(tmp_path):
    box = b"JP\0\1\0\0\0\1" + struct.pack(">I4s", 12, b"RESI") + b"data"
    assert lines(jpeg_with(tmp_path / "a.jpg", (0xEB, box)))[0] == ("left out its segments APP11 (JP)",)


# Samples of TIFF


def save_tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, photometric=options.pop("photometric", "rgb"), **options)
    return path


def test_floats_of_16_bits_are_looked_through_as_those_of_32(tmp_path, rng):
    pixels = rng.random((20, 30, 3))
    half = pixels.astype(np.float16)
    refused(save_tiff(tmp_path / "a.tif", half), "no colour profile")
    refused(save_tiff(tmp_path / "b.tif", 4 * half, iccprofile=SRGB), "range from")
    refused(save_tiff(tmp_path / "c.tif", half * np.inf, iccprofile=SRGB), "infinite or not a number")
    found = read_picture(save_tiff(tmp_path / "d.tif", half, iccprofile=SRGB))
    assert found.info.notes == ("rounded from floats to 16 bits",)
    np.testing.assert_allclose(found.pixels, half.transpose(2, 0, 1), rtol=0, atol=1e-5)


def test_floats_whose_white_is_0_are_refused(tmp_path, rng):
    pixels = rng.random((20, 30)).astype(np.float32)
    path = save_tiff(tmp_path / "a.tif", pixels, photometric="miniswhite", iccprofile=GREY)
    refused(path, "floats where 0 is white")


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

"""Metadata in pieces are put together, and what belongs to a picture no more is left out aloud."""

import hashlib
import io
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from makers import (
    KINDS,
    PACKET,
    XMP,
    exif,
    exif_block,
    jpeg_with,
    path_resource,
    photoshop_envelope,
    restored,
    smooth,
)
from PIL import Image

from hyperrestore.picture.containers.avif_items import further_pictures, read_items
from hyperrestore.picture.containers.boxes import iso_boxes, png_chunks, riff_chunks
from hyperrestore.picture.containers.splice import insert
from hyperrestore.picture.file import read_picture
from hyperrestore.picture.metadata.companions import IMAGES_LEFT_OUT, VIDEO_LEFT_OUT, without_companions
from hyperrestore.picture.metadata.exif import (
    exif_resolution,
    is_readable,
    scaled_exif,
    turned_exif,
    with_resolution,
)
from hyperrestore.picture.metadata.extended_xmp import EXTENSION_HEADER, XMP_HEADER, merged_xmp, xmp_segments
from hyperrestore.picture.metadata.jpeg import read_jpeg_parts
from hyperrestore.picture.metadata.photoshop import resources, scaled_resources, split_resources
from hyperrestore.picture.metadata.regions import fitted_xmp
from hyperrestore.picture.metadata.xmp import parse_xmp

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def packet(properties, spaces=""):
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="" '
        f'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" {spaces}'
        f">{properties}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def in_two(second, digest=None):
    """Segments of a packet and of a second one."""
    digest = digest or hashlib.md5(second).hexdigest().upper()
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{digest}"'
    segments = [(0xE1, XMP_HEADER + packet("<xmp:Rating>4</xmp:Rating>", note))]
    for start in range(0, len(second), 65_000):
        header = EXTENSION_HEADER + digest.encode() + struct.pack(">II", len(second), start)
        segments.append((0xE1, header + second[start : start + 65_000]))
    return segments


LONG = "long history " * 12_000


@pytest.mark.parametrize("target", KINDS)
def test_extended_xmp_is_put_together_and_parted_again(tmp_path, target):
    second = packet(f"<dc:description>{LONG}</dc:description>")
    segments = in_two(second)
    path = jpeg_with(tmp_path / "a.jpg", segments[0], *reversed(segments[1:]))
    assert restored(path, tmp_path / f"b.{target}") == ()
    xmp = read_picture(tmp_path / f"b.{target}").info.xmp
    assert parse_xmp(xmp) and xmp.count(LONG.encode()) == 1 and b"<xmp:Rating>4</xmp:Rating>" in xmp
    assert b"HasExtendedXMP" not in xmp
    if target == "jpg":
        parts = read_jpeg_parts(tmp_path / "b.jpg")
        (named,) = re.findall(b'HasExtendedXMP="([0-9A-F]{32})"', parts.xmp)
        body = b"".join(segment[len(EXTENSION_HEADER) + 40 :] for segment in parts.extended)
        assert hashlib.md5(body).hexdigest().upper().encode() == named
        assert b"<xmp:Rating>4</xmp:Rating>" in parts.xmp, "what is small stays for simple readers"


@pytest.mark.parametrize("damage", ["missing", "other", "broken"])
def test_extended_xmp_that_is_incomplete_is_said(tmp_path, damage):
    segments = in_two(packet(LONG) if damage != "broken" else b"<not XML" * 9000, "0" * 32)
    if damage == "missing":
        del segments[1]
    elif damage == "other":
        segments[1:] = in_two(packet(LONG))[1:]
    notes = restored(jpeg_with(tmp_path / "a.jpg", *segments), tmp_path / "b.jpg")
    assert notes == ("left out its extended XMP, which is incomplete or cannot be read",)
    xmp = read_picture(tmp_path / "b.jpg").info.xmp
    assert b"<xmp:Rating>4</xmp:Rating>" in xmp and b"HasExtendedXMP" not in xmp


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40_000)), min_size=1, max_size=8))
@example([(True, 90_000), (False, 90_000)])
def test_xmp_of_any_size_is_the_same_in_segments(properties):
    elements = "".join(
        f"<dc:e{n}>{'a' * size}</dc:e{n}>" for n, (inside, size) in enumerate(properties) if inside
    )
    attributes = " ".join(
        f'xmp:a{n}="{"b" * size}"' for n, (inside, size) in enumerate(properties) if not inside
    )
    whole = packet(elements, attributes)
    first, *others = xmp_segments(whole)
    assert len(first) <= 65_533 and all(len(segment) <= 65_533 for segment in others)
    again, complete = merged_xmp(first.removeprefix(XMP_HEADER), others)
    assert complete and facts(again) == facts(whole)


def facts(xmp):
    """Names and values of all properties."""
    found = set()
    for element in parse_xmp(xmp).walk():
        found |= {(attribute.name, attribute.value.text) for attribute in element.attributes}
        if not element.children and element.name != f"{{{RDF}}}Description":
            found.add((element.name, element.value(xmp).text))
    return found


CAMERA = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
CONTAINER = (
    'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" '
)
DIRECTORY = (
    "<Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Container:Item Item:Semantic='{}' "
    "Item:Mime='{}'/></rdf:li></rdf:Seq></Container:Directory><dc:title>kept</dc:title>"
)
MOVING = packet(
    DIRECTORY.format("MotionPhoto", "video/mp4"),
    CAMERA + CONTAINER + "GCamera:MotionPhoto='1' GCamera:MicroVideoOffset='9' GCamera:SpecialTypeID='x'",
)
BRIGHT = packet(
    DIRECTORY.format("GainMap", "image/jpeg"),
    CONTAINER + "xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'",
)
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100)


@pytest.mark.parametrize("target", KINDS)
def test_a_video_behind_a_picture_goes_with_all_that_speaks_of_it(tmp_path, target):
    jpeg_with(tmp_path / "a.jpg", (0xE1, XMP_HEADER + MOVING), behind=VIDEO)
    assert restored(tmp_path / "a.jpg", tmp_path / f"b.{target}") == (VIDEO_LEFT_OUT,)
    written = (tmp_path / f"b.{target}").read_bytes()
    assert b"ftypmp42" not in written
    xmp = read_picture(tmp_path / f"b.{target}").info.xmp
    assert not re.search(b"Directory|Motion|MicroVideo", xmp)
    assert b"GCamera:SpecialTypeID='x'" in xmp and b"<dc:title>kept</dc:title>" in xmp


def test_a_gain_map_goes_with_all_that_speaks_of_it(tmp_path):
    small = io.BytesIO()
    Image.new("L", (16, 12)).save(small, "JPEG")
    gain = (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")
    jpeg_with(tmp_path / "a.jpg", (0xE1, XMP_HEADER + BRIGHT), gain, behind=small.getvalue())
    assert restored(tmp_path / "a.jpg", tmp_path / "b.jpg") == (IMAGES_LEFT_OUT,)
    written = (tmp_path / "b.jpg").read_bytes()
    assert not re.search(b"Directory|hdrgm:|21496", written) and b"<dc:title>kept</dc:title>" in written
    assert written.count(b"\xff\xd8\xff") == 1


OTHERS = {
    "left out its segments APP6 (GoPro), APP12 (Ducky)": [(0xE6, b"GoPro\0GP"), (0xEC, b"Ducky\0\1")],
    "left out its content credentials, which apply only to the original picture": [
        (0xEB, b"JP\0\1\0\0\0\1jumb")
    ],
    "left out a second EXIF block": [(0xE1, exif().tobytes())] * 2,
    "left out a second XMP packet": [(0xE1, XMP_HEADER + XMP)] * 2,
    "left out its EXIF, which cannot be read": [(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x09")],
    "left out its XMP, which cannot be read": [(0xE1, XMP_HEADER + b"<x:xmpmeta><rdf:RDF></x:xmpmeta>")],
    "left out its extended XMP, because there is no XMP that it extends": in_two(packet(LONG))[1:],
    "left out a part of Photoshop's resources, which cannot be read": [(0xED, b"Photoshop 3.0\x008BIM\4")],
    "left out its pixel aspect ratio (2:1)": [(0xE0, b"JFIF\0\1\1\0\0\2\0\1\0\0")],
}


@pytest.mark.parametrize("note", OTHERS)
def test_all_other_segments_are_said(tmp_path, note):
    assert restored(jpeg_with(tmp_path / "a.jpg", *OTHERS[note]), tmp_path / "b.jpg") == (note,)


@pytest.mark.parametrize("behind", [bytes(500), b"\xff" * 40, b"\n"])
def test_padding_behind_a_picture_is_nothing(tmp_path, behind):
    assert restored(jpeg_with(tmp_path / "a.jpg", behind=behind), tmp_path / "b.jpg") == ()
    path = jpeg_with(tmp_path / "a.jpg", behind=behind + b"SEFT")
    (note,) = restored(path, tmp_path / "c.jpg")
    assert note == f"left out {len(behind) + 4} stray bytes after the picture"


def test_other_chunks_are_said(tmp_path):
    chunk = lambda name, data: (  # noqa: E731
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    )
    image = Image.fromarray(smooth().transpose(1, 2, 0))
    image.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    added = chunk(b"caBX", b"signed") + chunk(b"vpAg", b"123456789")
    (tmp_path / "a.png").write_bytes(
        data[:33] + added + data[33:-12] + chunk(b"tEXt", b"A\0b") + data[-12:] + b"x"
    )
    assert set(restored(tmp_path / "a.png", tmp_path / "b.png")) == {
        "left out its content credentials, which apply only to the original picture",
        "left out its chunks vpAg",
        "left out 1 stray bytes after the picture",
    }
    image.save(tmp_path / "a.webp")
    insert(tmp_path / "a.webp", (tmp_path / "a.webp").stat().st_size, b"LOST\4\0\0\0abcd")
    assert restored(tmp_path / "a.webp", tmp_path / "b.webp") == ("left out its chunks LOST",)


def item_boxes(kinds, references):
    """The `meta` box of an AVIF file with such items, of which the first is the picture."""
    box = lambda name, data: struct.pack(">I4s", 8 + len(data), name) + data  # noqa: E731
    entries = b"".join(
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH", number, 0) + kind + b"\0")
        for number, kind in kinds.items()
    )
    links = b"".join(box(kind, struct.pack(">HHH", one, 1, other)) for kind, one, other in references)
    return box(
        b"meta",
        bytes(4)
        + box(b"pitm", bytes(4) + struct.pack(">H", 1))
        + box(b"iinf", bytes(4) + struct.pack(">H", len(kinds)) + entries)
        + box(b"iref", bytes(4) + links),
    )


@pytest.mark.parametrize(
    "kinds, references, expected",
    [
        ({1: b"av01"}, [], False),
        ({1: b"av01", 2: b"Exif"}, [(b"cdsc", 2, 1)], False),
        ({1: b"av01", 2: b"av01"}, [(b"auxl", 2, 1)], False),  # transparency
        ({1: b"grid", 2: b"av01", 3: b"av01"}, [(b"dimg", 1, 2), (b"dimg", 1, 3)], False),
        ({1: b"av01", 2: b"av01"}, [(b"thmb", 2, 1)], True),
        ({1: b"av01", 2: b"av01", 3: b"av01"}, [(b"auxl", 2, 1), (b"auxl", 3, 1)], True),  # and depth
        ({1: b"av01", 2: b"av01", 3: b"tmap"}, [(b"dimg", 3, 1), (b"dimg", 3, 2)], True),  # gain map
    ],
)
def test_further_pictures_of_an_avif_file_are_found(kinds, references, expected):
    items = read_items(item_boxes(kinds, references))
    assert (items.kinds, items.references, items.primary) == (kinds, references, 1)
    assert further_pictures(items) == expected


@pytest.mark.parametrize("dots", [(300, 300), (72, 72), (96, 118)])
def test_the_resolution_of_jfif_stays_as_it_was(tmp_path, dots):
    jpeg_with(tmp_path / "a.jpg", dpi=dots)
    assert restored(tmp_path / "a.jpg", tmp_path / "b.jpg") == ()
    jpeg_with(tmp_path / "c.jpg")
    assert restored(tmp_path / "c.jpg", tmp_path / "d.jpg") == ()
    with Image.open(tmp_path / "b.jpg") as image, Image.open(tmp_path / "d.jpg") as silent:
        assert (image.info["jfif_unit"], image.info["jfif_density"]) == (1, dots)
        assert (silent.info["jfif_unit"], silent.info["jfif_density"]) == (0, (1, 1))
        assert "exif" not in image.info and "exif" not in silent.info


def test_exif_is_changed_in_place_and_nowhere_else():
    block = exif(6).tobytes()[6:]
    turned = turned_exif(block, 6, (60, 40))
    differing = [place for place in range(len(block)) if block[place] != turned[place]]
    assert len(turned) == len(block) and len(differing) == 1  # 6 is 1
    stated = with_resolution(block, (300 / 25.4, 200 / 25.4))
    assert stated[:4] + stated[8 : len(block)] == block[:4] + block[8:]  # only the first directory is another
    assert exif_resolution(stated) == pytest.approx((300 / 25.4, 200 / 25.4))
    assert with_resolution(stated, (300 / 25.4, 200 / 25.4)) == stated
    again = Image.Exif()
    again.load(stated)
    assert again[0x010F] == "ACME" and again.get_ifd(0x8769)[0x927C] == b"MAKER\0\1\2" * 40


def test_sizes_too_large_for_their_type_are_put_behind():
    block = Image.Exif()
    details = block.get_ifd(0x8769)
    details[0xA002], details[0x9214] = 60, (30, 20, 8, 6)
    scaled = scaled_exif(block.tobytes()[6:], (60, 40), (600_000, 400_000))
    again = Image.Exif()
    again.load(scaled)
    assert again.get_ifd(0x8769)[0xA002] == 600_000
    assert again.get_ifd(0x8769)[0x9214] == (300_000, 200_000, 80_000, 60_000)


@given(st.binary(max_size=50), st.integers(0, 50), st.binary(max_size=9))
def test_bytes_are_inserted(tmp_path_factory, before, place, new):
    path = tmp_path_factory.mktemp("insert") / "a"
    path.write_bytes(before)
    place = min(place, len(before))
    insert(path, place, new)
    assert path.read_bytes() == before[:place] + new + before[place:]


# Whatever the bytes, nothing fails or hangs.

EXTREMES = [b"\0\0", b"\xff\xff", b"\x7f\xff", b"\xff\xd9", b"\0\1", b"<", b'"', b"&", b""]
VALID = {
    "exif": exif(6).tobytes()[6:],
    "places": exif_block(6).tobytes()[6:],
    "xmp": PACKET,
    "moving": MOVING,
    "photoshop": photoshop_envelope(b"\x1c\x02\x78\0\7Caption")[14:] + path_resource(),
}


@st.composite
def damaged(draw, names):
    data = bytearray(VALID[draw(st.sampled_from(names))])
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        if draw(st.booleans()):
            data[place : place + 4] = draw(st.binary(max_size=5))
        else:
            data[place : place + 2] = draw(
                st.sampled_from([b"\0\0", b"\xff\xff", b"\x7f\xff", b"<", b'"', b"&"])
            )
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


ORIENTATIONS = st.integers(1, 8)


@given(damaged(["exif", "places"]) | st.binary(max_size=60), ORIENTATIONS)
def test_any_exif_can_be_turned(block, orientation):
    is_readable(block)
    exif_resolution(block)
    turned = turned_exif(block, orientation, (60, 40))
    assert len(turned) <= len(block) + 60
    scaled_exif(turned, (60, 40), (99_999, 70_000))
    with_resolution(turned, (11.8, 7.9))


@given(damaged(["xmp", "moving"]) | st.binary(max_size=60), ORIENTATIONS)
@example(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", 6)
@example(b"<a>" * 5000, 6)
def test_any_xmp_can_be_turned(xmp, orientation):
    fitted = fitted_xmp(xmp, orientation, (48, 32), (300, 200))
    assert fitted is None or parse_xmp(fitted)
    without, _ = without_companions(xmp)
    assert parse_xmp(xmp) is None or parse_xmp(without)
    merged_xmp(xmp, [EXTENSION_HEADER + xmp])
    xmp_segments(xmp + b" " * 66_000)


@given(damaged(["photoshop"]) | st.binary(max_size=60), ORIENTATIONS)
def test_any_resources_can_be_turned(block, orientation):
    iptc, others, _ = split_resources(block, orientation)
    assert b"".join(one.packed() for one in resources(others or b"")) == (others or b"")
    assert iptc is None or iptc in block
    scaled_resources(block, 2, 3)


@given(st.data())
def test_any_file_can_be_looked_through(whole_files, data):
    path, content = data.draw(st.sampled_from(whole_files))
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + 2] = data.draw(
            st.sampled_from([b"\0\0", b"\xff\xff", b"\xff\xd9", b"\0\1", b""])
        )
    changed = bytes(changed[: data.draw(st.integers(1, len(changed)))])
    path.write_bytes(changed)
    read_jpeg_parts(path)
    further_pictures(read_items(changed))
    for parts in (png_chunks(changed), riff_chunks(changed), iso_boxes(changed, 0, len(changed))):
        assert all(0 <= part.start <= part.end <= len(changed) for part in parts)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    jpeg_with(folder / "a.jpg", *in_two(packet(LONG)), (0xE6, b"GoPro"), exif=exif().tobytes(), behind=VIDEO)
    files = [(folder / "a.jpg", (folder / "a.jpg").read_bytes()[-9000:])]
    for kind in KINDS:
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / f"b.{kind}", exif=exif().tobytes())
        files.append((folder / f"b.{kind}", (folder / f"b.{kind}").read_bytes()))
    return files

"""What has coordinates in metadata still holds what it held, when the picture is turned or enlarged."""

import io
import re
import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import HEIGHT, HIGH, LEFT, PACKET, SPACES, TOP, WIDE, WIDTH, exif_block, path_resource
from PIL import Image

from hyperrestore.picture.file import read_picture
from hyperrestore.picture.metadata.exif import turned_exif
from hyperrestore.picture.metadata.orientation import turned_box, turned_point, turned_size
from hyperrestore.picture.metadata.photoshop import resources
from hyperrestore.picture.metadata.regions import fitted_xmp
from hyperrestore.picture.reader import open_picture
from hyperrestore.picture.writer import create_picture

INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}


def pixels():
    """Black, with a grey box whose upper left pixel is white."""
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[TOP : TOP + HIGH, LEFT : LEFT + WIDE] = 100
    picture[TOP, LEFT] = 255
    return picture


def save(path, orientation):
    stream = io.BytesIO()
    image = Image.fromarray(pixels())
    image.save(stream, "JPEG", exif=exif_block(orientation), xmp=PACKET, quality=100)
    block = b"Photoshop 3.0\0" + path_resource()
    data = stream.getvalue()
    path.write_bytes(data[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + data[2:])


def found_boxes(xmp, width, height):
    """Every region as left, top, width, height in pixels, found by another parser."""
    root = ET.fromstring(xmp.decode().strip("\ufeff"))
    name = lambda text: "{%s}%s" % (SPACES[text.split(":")[0]], text.split(":")[1])  # noqa: E731, UP031

    def of(element, prefix, *locals_):
        texts = [
            element.get(name(f"{prefix}:{one}")) or element.findtext(name(f"{prefix}:{one}"))
            for one in locals_
        ]
        return [float(text) for text in texts] if None not in texts else None

    for area in root.iter(name("mwg-rs:Area")):
        x, y, w, h = of(area, "stArea", "x", "y", "w", "h")
        pixel = (area.get(name("stArea:unit")) or area.findtext(name("stArea:unit"))) == "pixel"
        across, down = (1, 1) if pixel else (width, height)
        yield (x - w / 2) * across, (y - h / 2) * down, w * across, h * down
    for region in root.iter(name("rdf:li")):
        if text := region.get(name("MPReg:Rectangle")):
            x, y, w, h = (float(part) for part in text.split(","))
            yield x * width, y * height, w * width, h * height
    for boundary in root.iter(name("ext:RegionBoundary")):
        across, down = (1, 1) if boundary.get(name("ext:rbUnit")) == "pixel" else (width, height)
        if box := of(boundary, "ext", "rbX", "rbY", "rbW", "rbH"):
            yield box[0] * across, box[1] * down, box[2] * across, box[3] * down
        elif corners := [of(item, "ext", "rbX", "rbY") for item in boundary.iter(name("rdf:li"))]:
            (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
            yield left * across, top * down, (right - left) * across, (bottom - top) * down
    x, y, w, h = (
        float(item.text) for item in root.find(f".//{name('exif:SubjectArea')}").iter(name("rdf:li"))
    )
    yield x - w / 2, y - h / 2, w, h


def marked_box(picture):
    rows, columns = (np.nonzero(picture.max(axis=axis) > 50)[0] for axis in (1, 0))
    return columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_hold_what_they_held(tmp_path, orientation, scale):
    save(tmp_path / "a.jpg", orientation)
    with open_picture(tmp_path / "a.jpg") as reader:
        upright = reader.rows(0, reader.info.height)
        larger = np.repeat(np.repeat(upright, scale, 1), scale, 2)
        _, height, width = larger.shape
        with create_picture(tmp_path / "b.jpg", reader, width=width, height=height, quality=100) as writer:
            writer.write(larger)
    assert not [note for note in writer.notes if "left out" in note]
    info = read_picture(tmp_path / "b.jpg").info
    expected = marked_box(larger[0])
    boxes = list(found_boxes(info.xmp, width, height))
    assert len(boxes) == 7
    np.testing.assert_allclose(boxes, [expected] * 7, atol=0.01)
    packet = info.xmp.decode()
    assert f'stDim:w="{width}" stDim:h="{height}"' in packet and 'tiff:Orientation="1"' in packet
    assert f'tiff:ImageWidth="{width}" tiff:ImageLength="{height}"' in packet
    assert "Größe &amp; &lt;so&gt;" in packet and f'FullPanoWidthPixels="{2 * WIDTH * scale}"' in packet
    (radius,) = re.findall('rbRx="([^"]+)"', packet)
    assert float(radius) * width == pytest.approx(HIGH / 2 * scale, abs=0.01)
    with Image.open(tmp_path / "b.jpg") as image:
        details = image.getexif().get_ifd(0x8769)
        x, y, wide, high = details[0x9214]
        np.testing.assert_allclose((x - wide / 2, y - high / 2, wide, high), expected, atol=0.01)
        assert (details[0xA002], details[0xA003]) == (width, height) and image.getexif()[0x0112] == 1
        x, y = details[0xA214]
        assert larger[0, y, x] > 200, "the pixel that was marked"
        (block,) = [one for one in resources(info.photoshop) if one.number == 2000]
        points = (
            np.array([struct.unpack_from(">2i", block.data, 26 * knot + 2) for knot in range(1, 5)]) / 2**24
        )
        (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
        path = left * width, top * height, (right - left) * width, (bottom - top) * height
        np.testing.assert_allclose(path, expected, atol=0.01)


def test_nothing_changes_where_nothing_is_turned_or_enlarged():
    upright = PACKET.replace(b'Orientation="6"', b'Orientation="1"')
    assert fitted_xmp(upright, 1, (WIDTH, HEIGHT), (WIDTH, HEIGHT)) == upright
    block = exif_block(1).tobytes()[6:]
    assert turned_exif(block, 1, (WIDTH, HEIGHT)) == block


@pytest.mark.parametrize("orientation", range(1, 9))
def test_resolutions_turn_too(orientation):
    block = Image.Exif()
    block.load(turned_exif(exif_block(orientation).tobytes()[6:], orientation, (WIDTH, HEIGHT)))
    assert (block[0x011A], block[0x011B]) == ((300, 200) if orientation < 5 else (200, 300))


SIZES = st.tuples(st.integers(1, 500), st.integers(1, 500))


@given(st.integers(1, 8), SIZES, st.tuples(*[st.integers(-10, 500)] * 4))
def test_turning_and_turning_back_is_nothing(orientation, size, box):
    after = turned_size(size, orientation)
    back = INVERSE[orientation]
    assert turned_size(after, back) == size
    x, y = turned_point(box[0], box[1], orientation, size)
    assert turned_point(x, y, back, after) == box[:2]
    left, top, wide, high = turned_box(*box[:2], abs(box[2]), abs(box[3]), orientation, size)
    assert turned_box(left, top, wide, high, back, after) == (*box[:2], abs(box[2]), abs(box[3]))


@given(st.integers(1, 8))
def test_regions_turned_back_are_what_they_were(orientation):
    size = (WIDTH, HEIGHT)
    after = (HEIGHT, WIDTH) if orientation > 4 else size
    turned = fitted_xmp(PACKET, orientation, size, after)
    again = fitted_xmp(turned, INVERSE[orientation], after, size)
    np.testing.assert_allclose(
        list(found_boxes(again, WIDTH, HEIGHT)), list(found_boxes(PACKET, WIDTH, HEIGHT)), atol=1e-3
    )

"""What XMP says of further pictures and of a video in the same file, which a restored file does not hold."""

from __future__ import annotations

from collections.abc import Iterator

from hyperrestore.picture.metadata.xmp import (
    Attribute,
    Edit,
    Element,
    descriptions,
    edited,
    namespace,
    parse_xmp,
)

IMAGES_LEFT_OUT = "left out the further images in the file (preview, gain map or depth map)"
VIDEO_LEFT_OUT = "left out the video behind the picture (motion photo)"
_IMAGES = {
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.apple.com/HDRGainMap/1.0/",
    "http://ns.apple.com/pixeldatainfo/1.0/",
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/dd/1.0/device/",
}
_CONTAINERS = {"http://ns.google.com/photos/1.0/container/", "http://ns.google.com/photos/dd/1.0/container/"}
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_THUMBNAILS = "{http://ns.adobe.com/xap/1.0/}Thumbnails"


def without_companions(xmp: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove what XMP says of gain maps, depth maps, previews and videos.

    Args:
        xmp: The packet.

    Returns:
        The packet, and one sentence for each kind that it spoke of; thumbnails go without one, as in EXIF.
    """
    root = parse_xmp(xmp)
    if root is None:
        return xmp, ()
    cuts: list[Edit] = []
    notes: list[str] = []
    for part in _parts(root):
        kind = _kind(part, xmp)
        if kind or part.name == _THUMBNAILS:
            cuts.append(Edit(part.start, part.end, b""))
            notes += kind
    return edited(xmp, cuts), tuple(dict.fromkeys(notes))


def _parts(root: Element) -> Iterator[Element | Attribute]:
    for element in descriptions(root):
        yield from element.children
        yield from element.attributes


def _kind(part: Element | Attribute, data: bytes) -> list[str]:
    """What a property speaks of; a list of items may speak of both."""
    space, local = namespace(part.name), part.name.rpartition("}")[2]
    if space in _IMAGES:
        return [IMAGES_LEFT_OUT]
    if space == _CAMERA and local.startswith(("MotionPhoto", "MicroVideo")):
        return [VIDEO_LEFT_OUT]
    if space in _CONTAINERS:
        text = data[part.start : part.end]
        kinds = [VIDEO_LEFT_OUT] if b"MotionPhoto" in text or b"video/" in text else []
        return kinds + ([IMAGES_LEFT_OUT] if b"GainMap" in text or b"Depth" in text or not kinds else [])
    return []

"""XMP that is too large for one segment of a JPEG file: the packet, and a second one for the rest.

XMP Specification Part 3 (2020), 1.1.3.1: the packet names the second one by its MD5.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import quoteattr

from hyperrestore.picture.metadata.xmp import RDF, Attribute, Edit, Element, descriptions, edited, parse_xmp

XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION_HEADER = b"http://ns.adobe.com/xmp/extension/\0"
_SEGMENT = 65_533  # the most bytes of a segment behind its length
_PART = 65_400  # of the second packet; Adobe's own limit
_NOTE = "{http://ns.adobe.com/xmp/note/}HasExtendedXMP"


def merged_xmp(packet: bytes, segments: Sequence[bytes]) -> tuple[bytes, bool]:
    """Put the second packet of a JPEG file into the first one.

    Args:
        packet: The first one.
        segments: Those that begin with `EXTENSION_HEADER`, in the order of the file.

    Returns:
        One packet, that names no other, and whether it is complete: nothing of a second packet is missing.
    """
    root = parse_xmp(packet)
    if root is None:
        return packet, not segments
    named = dict(_properties(root, packet, _NOTE))
    outer = next((element for element in root.walk() if element.name == RDF + "RDF"), None)
    cuts = [Edit(start, end, b"") for (start, end) in named]
    if not named and not segments:
        return packet, True
    second = _assembled(segments, next(iter(named.values()), ""))
    second_root = parse_xmp(second) if second else None
    if outer is None or second is None or second_root is None or outer.inner_end == outer.start:
        return edited(packet, cuts), False
    added = b"".join(_alone(element, second) for element in descriptions(second_root))
    return edited(packet, [*cuts, Edit(outer.inner_end, outer.inner_end, added)]), True


def xmp_segments(packet: bytes) -> list[bytes] | None:
    """What the segments of a JPEG file hold for an XMP packet.

    Args:
        packet: Of any size.

    Returns:
        The packet in one segment, or what fits there and the rest in more; None where that cannot be done.
    """
    most = _SEGMENT - len(XMP_HEADER)
    if len(packet) <= most:
        return [XMP_HEADER + packet]
    packet = packet[packet.find(b"<") : packet.rfind(b">") + 1]
    root = parse_xmp(packet)
    outer = next((element for element in root.walk() if element.name == RDF + "RDF"), None) if root else None
    if root is None or outer is None:
        return None
    cuts: list[Edit] = []
    moved: list[bytes] = []
    padding = _padding(packet, root)
    size = len(packet) - sum(cut.end - cut.start for cut in padding)
    for element, part in sorted(_parts(root), key=lambda pair: pair[1].start - pair[1].end):
        if size + (600 if moved else 0) <= most:  # what is added below is shorter
            break
        cuts.append(Edit(part.start, part.end, b""))
        moved.append(_wrapped(element, part, packet))
        size -= part.end - part.start
    if not moved:
        return [XMP_HEADER + edited(packet, padding)]
    second = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + RDF[1:-1].encode() + b'">'
        + b"".join(moved) + b"</rdf:RDF></x:xmpmeta>"
    )  # fmt: skip
    digest = hashlib.md5(second, usedforsecurity=False).hexdigest().upper().encode()
    note = (
        b'<rdf:Description xmlns:rdf="' + RDF[1:-1].encode() + b'" rdf:about="" '
        b'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="' + digest + b'"/>'
    )
    first = edited(packet, [*padding, *cuts, Edit(outer.inner_end, outer.inner_end, note)])
    if len(first) > most:
        return None
    return [
        XMP_HEADER + first,
        *(
            EXTENSION_HEADER + digest + struct.pack(">II", len(second), start) + second[start : start + _PART]
            for start in range(0, len(second), _PART)
        ),
    ]


def _padding(packet: bytes, root: Element) -> list[Edit]:
    """The space behind the outermost element, where editors may write."""
    tail = packet[root.end :]
    return [Edit(root.end, root.end + len(tail) - len(tail.lstrip()), b"")]


def _parts(root: Element) -> Iterator[tuple[Element, Element | Attribute]]:
    """Every property, with the description that it stands in."""
    for element in descriptions(root):
        yield from ((element, child) for child in element.children)
        yield from (
            (element, attribute) for attribute in element.attributes if attribute.name != RDF + "about"
        )


def _properties(root: Element, data: bytes, name: str) -> Iterator[tuple[tuple[int, int], str]]:
    for _, part in _parts(root):
        if part.name == name:
            value = part.value(data) if isinstance(part, Element) else part.value
            yield (part.start, part.end), value.text


def _wrapped(element: Element, part: Element | Attribute, data: bytes) -> bytes:
    """A property in a description of its own."""
    about = b"".join(data[one.start : one.end] for one in element.attributes if one.name == RDF + "about")
    tag = data[element.start : element.name_end] + _declarations(element.namespaces) + about
    text = data[part.start : part.end]
    if isinstance(part, Attribute):
        return tag + text + b"/>"
    return tag + b">" + text + b"</" + data[element.start + 1 : element.name_end] + b">"


def _alone(element: Element, data: bytes) -> bytes:
    """A description with all its prefixes declared, to be put elsewhere."""
    missing = {prefix: uri for prefix, uri in element.namespaces.items() if prefix not in element.declared}
    name_end = element.name_end
    return data[element.start : name_end] + _declarations(missing) + data[name_end : element.end]


def _declarations(namespaces: dict[str, str]) -> bytes:
    return "".join(
        f" xmlns{':' if prefix else ''}{prefix}={quoteattr(uri)}" for prefix, uri in namespaces.items()
    ).encode()


def _assembled(segments: Sequence[bytes], digest: str) -> bytes | None:
    """The second packet that the first one names; None if a part is missing."""
    parts: dict[int, bytes] = {}
    size = 0
    for segment in segments:
        body = segment[len(EXTENSION_HEADER) :]
        if len(body) >= 40 and body[:32].decode("latin-1").upper() == digest.strip().upper():
            size, start = struct.unpack_from(">II", body, 32)
            parts[start] = body[40:]
    whole = b""
    for start in sorted(parts):
        if start == len(whole):
            whole += parts[start]
    return whole if whole and len(whole) == size else None

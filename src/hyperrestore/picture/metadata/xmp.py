"""An XMP packet as a tree that knows where everything stands, so that a part can be changed byte by byte."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DEEPEST = 200  # elements within one another; what needs more is no packet of a picture
_START_TAG = re.compile(rb"""<([^\s/>]+)(?:\s+[^\s=]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s*(/?)>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")


class Edit(NamedTuple):
    """Bytes to be replaced."""

    start: int
    end: int
    new: bytes


class Value(NamedTuple):
    """A text, and where it stands between its quotes or tags."""

    text: str
    start: int
    end: int

    def replaced(self, text: str) -> Edit:
        """Another text in its place; one without the characters that mean something to XML."""
        return Edit(self.start, self.end, text.encode())


class Attribute(NamedTuple):
    """An attribute, with the space before it."""

    name: str  # {namespace}local
    value: Value
    start: int
    end: int


@dataclass(slots=True)
class Element:
    """An element, from the beginning of its start tag to the end of its end tag."""

    name: str  # {namespace}local
    declared: dict[str, str]  # namespaces that its own tag declares, by prefix
    attributes: list[Attribute]
    parent: Element | None
    start: int
    name_end: int
    inner_start: int
    inner_end: int = 0
    end: int = 0
    children: list[Element] = field(default_factory=list)

    @property
    def namespaces(self) -> dict[str, str]:
        """All that are declared here, by prefix."""
        outer = self.parent.namespaces if self.parent else {}
        return outer | self.declared

    def expanded(self, name: str, *, default: bool = False) -> str:
        """A name with its namespace for its prefix; one without a prefix may have the default one."""
        prefix, colon, local = name.rpartition(":")
        element: Element | None = self if colon or default else None
        while element is not None and prefix not in element.declared:
            element = element.parent
        space = element.declared[prefix] if element else ""
        return f"{{{space}}}{local}" if space or colon else name

    def walk(self) -> Iterator[Element]:
        """This element and all within it, in the order of the file."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)

    def value(self, data: bytes) -> Value:
        """The text of an element without children."""
        text = html.unescape(data[self.inner_start : self.inner_end].decode())
        return Value(text, self.inner_start, self.inner_end)

    def fields(self, data: bytes) -> dict[str, Value]:
        """Properties by name, whether they are written as attributes or as elements."""
        found = {attribute.name: attribute.value for attribute in self.attributes}
        return found | {child.name: child.value(data) for child in self.children if not child.children}


class _Builder:
    """Collects what expat reports."""

    def __init__(self, data: bytes, offset: int) -> None:
        self.data = data
        self.offset = offset
        self.root: Element | None = None
        self.open: list[Element] = []
        self.parser = expat.ParserCreate("UTF-8")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse

    def _refuse(self, *_: object) -> None:
        raise ValueError("a packet of XMP declares no document type, which could make it endless")

    def _start(self, name: str, _: object) -> None:
        start = self.parser.CurrentByteIndex + self.offset
        tag = _START_TAG.match(self.data, start)
        if tag is None:
            raise ValueError(f"no start tag at byte {start}")
        if len(self.open) >= _DEEPEST:
            raise ValueError(f"elements are nested more than {_DEEPEST} deep")
        parent = self.open[-1] if self.open else None
        raw = [
            (
                match[1].decode(),
                Value(html.unescape(match[2][1:-1].decode()), match.start(2) + 1, match.end(2) - 1),
                match,
            )
            for match in _ATTRIBUTE.finditer(self.data, tag.end(1), tag.end())
        ]
        declared = {
            key[6:]: value.text for key, value, _ in raw if key == "xmlns" or key.startswith("xmlns:")
        }
        element = Element(name, declared, [], parent, start, tag.end(1), tag.end(), tag.end(), tag.end())
        element.name = element.expanded(name, default=True)
        element.attributes = [
            Attribute(element.expanded(key), value, match.start(), match.end())
            for key, value, match in raw
            if key[:6] not in ("xmlns", "xmlns:")
        ]
        if parent:
            parent.children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, _: str) -> None:
        element = self.open.pop()
        if self.data[element.inner_start - 2 : element.inner_start] != b"/>":
            element.inner_end = self.parser.CurrentByteIndex + self.offset
            element.end = self.data.index(b">", element.inner_end) + 1


def parse_xmp(data: bytes) -> Element | None:
    """Read an XMP packet.

    Args:
        data: The packet, in UTF-8; what stands before the first "<" and behind the last ">" is passed over.

    Returns:
        Its outermost element, or None for what is not well-formed, declares a document type, or is not UTF-8.
    """
    first, last = data.find(b"<"), data.rfind(b">")
    if first < 0:
        return None
    builder = _Builder(data, first)
    try:
        builder.parser.Parse(data[first : last + 1], True)
    except (expat.ExpatError, ValueError):  # of which UnicodeDecodeError is one
        return None
    return builder.root


def descriptions(root: Element) -> list[Element]:
    """The elements whose attributes and children are the properties of the picture."""
    return [
        element
        for element in root.walk()
        if element.name == RDF + "Description" and element.parent and element.parent.name == RDF + "RDF"
    ]


def edited(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Replace bytes; an edit within bytes that another one replaces is passed over."""
    parts, position = [], 0
    for start, end, new in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if start >= position:
            parts += [data[position:start], new]
            position = end
    return b"".join((*parts, data[position:]))


def namespace(name: str) -> str:
    """The namespace of a full name."""
    return name[1:].partition("}")[0] if name.startswith("{") else ""

"""What each format preserves of a file: measured, never assumed.

    python benchmarks/fidelity.py                  # writes docs/fidelity.md
    python benchmarks/fidelity.py --saving PHOTOS  # the cost of saving a repaired JPEG file again

Files are made by libvips and Pillow and by other programs (ImageMagick, cwebp, avifenc, tiffcp, exiftool),
restored by the command line, and read by ImageMagick, exiftool and Pillow. The command line must report what
is lost: the exit code is 1 if something is lost silently.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from PIL import Image

ROOT = Path(__file__).parents[1]
FORMATS = {"PNG": "png", "JPEG": "jpg", "WebP": "webp", "TIFF": "tif", "AVIF": "avif"}
PROGRAMS = ("convert", "identify", "exiftool", "cwebp", "avifenc", "tiffcp", "img2webp")
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Cuxhaven"/></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)
SUBJECT = 16, 24, 8, 12  # x, y of its middle, width, height
# Tags on how a file stores its pixels, not on the photo, and tags that have rows of their own.
STRUCTURE = {
    "ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "PhotometricInterpretation", "StripOffsets",
    "SamplesPerPixel", "RowsPerStrip", "StripByteCounts", "PlanarConfiguration", "Predictor", "ExtraSamples",
    "SampleFormat", "YCbCrPositioning", "XResolution", "YResolution", "ResolutionUnit", "Orientation",
    "ExifImageWidth", "ExifImageHeight", "SubfileType", "FillOrder", "PageNumber",
}  # fmt: skip
D65 = (0.3127, 0.3290)
PROFILES = {  # primaries, gamma
    "Display P3": (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), 2.4),
    "Adobe RGB": (((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)), 2.19921875),
}


# --- Files ------------------------------------------------------------------------------------------


def matrix_profile(name: str) -> bytes:
    """The smallest ICC profile of a colour space with these primaries and this gamma (ICC.1:2001-04)."""
    primaries, gamma = PROFILES[name]
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array([D65[0] / D65[1], 1, (1 - sum(D65)) / D65[1]])
    to_xyz = columns * np.linalg.solve(columns, white)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1, 0.8249])
    adapted = np.linalg.solve(bradford, np.diag(bradford @ d50 / (bradford @ white)) @ bradford @ to_xyz)

    def xyz(values: Any) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *np.rint(np.asarray(values) * 65536).astype(int).tolist())

    text = name.encode() + b"\0"
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz(d50),
        **{colour + b"XYZ": xyz(adapted[:, place]) for place, colour in enumerate((b"r", b"g", b"b"))},
        **{colour + b"TRC": curve for colour in (b"r", b"g", b"b")},
    }
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12)
    header += b"acsp" + bytes(28) + xyz(d50)[8:] + bytes(48)
    return header + table + body


def scene(bits: int = 8, channels: int = 3, alpha: bool = False) -> Any:
    """A small noisy picture for libvips: 64 x 48, transparent with garbage below a slope."""
    y, x = np.mgrid[0:48, 0:64]
    noise = np.random.default_rng(0).normal(0, 6, (48, 64, channels))
    values = [110 + 70 * np.sin(x / 12 + c) * np.cos(y / 9) for c in range(channels)]
    pixels = (np.stack(values, axis=-1) + noise).clip(0, 255)
    if alpha:
        slope = (8 * (x - y)).clip(0, 255)
        garbage = np.random.default_rng(1).integers(0, 256, pixels.shape)
        pixels = np.concatenate([np.where(slope[..., None] == 0, garbage, pixels), slope[..., None]], axis=-1)
    scaled = np.rint(pixels * ((2**bits - 1) / 255)).astype(np.uint8 if bits == 8 else np.uint16)
    kind = {(1, 8): "b-w", (1, 16): "grey16", (3, 8): "srgb", (3, 16): "rgb16"}[channels, bits]
    return pyvips.Image.new_from_array(np.ascontiguousarray(scaled)).copy(interpretation=kind)


def exif() -> Image.Exif:
    """What a camera writes, with maker notes."""
    block = Image.Exif()
    block[0x010F], block[0x0110], block[0x8298], block[0x0132] = "ACME", "A-1", "(c) X", "2024:01:02 03:04:05"
    details = block.get_ifd(0x8769)
    details[0x829A], details[0x829D], details[0x8827], details[0xA001] = 0.008, 2.8, 1600, 1
    details[0x9003], details[0x920A] = "2024:01:02 03:04:05", 35.5
    details[0x927C] = b"MAKER\0\1\2" * 40
    place = block.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (53.0, 52.0, 1.5), "E", (8.0, 42.0, 2.25)
    return block


def made_by_libraries(folder: Path, suffix: str) -> None:
    """Files of one format from libvips and Pillow."""
    lossless = {"lossless": True} if suffix in ("webp", "avif") else {}
    scene().write_to_file(str(folder / f"plain.{suffix}"), **lossless)
    if suffix in ("png", "tif"):
        scene(16).write_to_file(str(folder / f"deep.{suffix}"))
    if suffix == "avif":
        scene(16).write_to_file(str(folder / f"deep.{suffix}"), bitdepth=12)
    if suffix in ("png", "tif", "jpg"):
        scene(channels=1).write_to_file(str(folder / f"grey.{suffix}"))
    if suffix != "jpg":
        more = {"exact": True} if suffix == "webp" else {}
        scene(alpha=True).write_to_file(str(folder / f"alpha.{suffix}"), **lossless, **more)
    picture = Image.fromarray(scene().numpy())
    for name, profile in (("rich", "Display P3"), ("adobe", "Adobe RGB")):
        options: dict[str, Any] = {"icc_profile": matrix_profile(profile), "exif": exif(), "dpi": (240, 240)}
        if suffix in ("jpg", "webp", "avif"):
            options["xmp"] = XMP
        if suffix == "jpg":
            options["comment"] = "a comment"
        picture.save(folder / f"{name}.{suffix}", **options)
    if suffix == "jpg":
        for quality, sampling in ((30, "4:2:0"), (98, "4:4:4")):
            name = f"saved-{sampling.replace(':', '')}-{quality}.jpg"
            picture.save(folder / name, quality=quality, subsampling=sampling)


def made_by_programs(folder: Path, suffix: str) -> None:
    """Files of one format from ImageMagick, cwebp, avifenc, tiffcp and exiftool."""

    def run(*words: str | Path) -> None:
        subprocess.run(list(map(str, words)), check=True, capture_output=True, cwd=folder)

    scratch = folder / "scratch"
    scratch.mkdir()
    scene(16).pngsave(str(scratch / "deep.png"))
    scene(alpha=True).pngsave(str(scratch / "alpha.png"))
    scene().pngsave(str(scratch / "plain.png"))
    scene(channels=1).pngsave(str(scratch / "grey.png"))
    encoders = {  # 8 bit, 16 bit, grey, alpha
        "png": {name: ["convert", f"scratch/{name}.png"] for name in ("plain", "deep", "grey", "alpha")},
        "jpg": {name: ["convert", f"scratch/{name}.png"] for name in ("plain", "grey")},
        "tif": {
            name: ["convert", f"scratch/{name}.png", "-compress", "lzw"]
            for name in ("plain", "deep", "grey", "alpha")
        },
        "webp": {
            "plain": ["cwebp", "-q", "90", "scratch/plain.png", "-o"],
            "alpha": ["cwebp", "-lossless", "-exact", "scratch/alpha.png", "-o"],
        },
        "avif": {
            "plain": ["avifenc", "scratch/plain.png"],
            "deep": ["avifenc", "-d", "10", "scratch/deep.png"],
            "grey": ["avifenc", "-y", "400", "scratch/grey.png"],
            "alpha": ["avifenc", "--lossless", "scratch/alpha.png"],
            "saved-420": ["avifenc", "-y", "420", "scratch/plain.png"],
        },
    }[suffix]
    for name, words in encoders.items():
        run(*words, f"{name}-program.{suffix}")
    small = Image.new("RGB", (160, 120), "red")
    small.save(scratch / "small.jpg")
    (scratch / "p3.icc").write_bytes(matrix_profile("Display P3"))
    tags = [
        "-Make=ACME", "-Model=A-1", "-ExposureTime=1/125", "-FNumber=2.8", "-ISO=1600", "-LensModel=A 50 mm",
        "-DateTimeOriginal=2024:01:02 03:04:05", "-OffsetTimeOriginal=+01:00", "-Artist=X", "-Copyright=X",
        "-GPSLatitude=53.867", "-GPSLatitudeRef=N", "-GPSLongitude=8.7", "-GPSLongitudeRef=E",
        "-EXIF:ColorSpace#=1", "-XMP-dc:Title=A title", "-XMP-photoshop:City=Cuxhaven", "-XMP-xmp:Rating=4",
        "-ICC_Profile<=scratch/p3.icc", "-EXIF:XResolution=240", "-EXIF:YResolution=240",
        "-EXIF:ResolutionUnit=inches",
    ]  # fmt: skip
    if suffix in ("jpg", "tif"):
        tags += ["-IPTC:Caption-Abstract=A caption", "-IPTC:City=Cuxhaven", "-IPTC:Keywords=sea"]
    if suffix in ("jpg", "png"):
        tags += ["-Comment=a comment"]
    thumbnail = [] if suffix == "tif" else ["-ThumbnailImage<=scratch/small.jpg"]
    shutil.copy(folder / f"plain-program.{suffix}", folder / f"rich-program.{suffix}")
    run("exiftool", "-overwrite_original", *tags, *thumbnail, f"rich-program.{suffix}")
    made_with_more(folder, suffix)
    if suffix != "avif":  # whose orientation stands in its own properties, not in EXIF
        shutil.copy(folder / f"plain-program.{suffix}", folder / f"turned-program.{suffix}")
        run("exiftool", "-overwrite_original", "-EXIF:Orientation#=6", f"turned-program.{suffix}")
    else:
        run("avifenc", "--irot", "3", "scratch/plain.png", "turned-program.avif")
    several = {
        "png": [],
        "jpg": [],
        "webp": [["img2webp", "scratch/plain.png", "scratch/alpha.png", "-o", "several-program.webp"]],
        "tif": [["tiffcp", "plain-program.tif", "grey-program.tif", "several-program.tif"]],
        "avif": [["avifenc", "scratch/plain.png", "scratch/deep.png", "-d", "8", "several-program.avif"]],
    }[suffix]
    for words in several:
        run(*words)
    shutil.rmtree(scratch)
    if suffix == "png":
        frame = Image.fromarray(scene().numpy())
        frame.save(folder / "several.png", save_all=True, append_images=[frame.rotate(180)])


def made_with_more(folder: Path, suffix: str) -> None:
    """Files with rare contents: recent EXIF, long XMP, Photoshop resources, regions, a video."""
    sensed = [
        "-IFD0:HostComputer=phone", "-ExifIFD:AmbientTemperature=21.5", "-ExifIFD:Humidity=40",
        "-ExifIFD:Pressure=1013", "-ExifIFD:Acceleration=100", "-ExifIFD:CameraElevationAngle=3.5",
        "-ExifIFD:CompositeImage#=2", "-ExifIFD:OffsetTimeOriginal=+01:00", "-GPS:GPSHPositioningError=4.5",
    ]  # fmt: skip
    regions = [
        "-EXIF:Orientation#=6", f"-ExifIFD:SubjectArea={' '.join(map(str, SUBJECT))}",
        "-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=64,H=48,Unit=pixel},RegionList=[{Name=a,Type=Face,"
        "Area={X=0.25,Y=0.5,W=0.125,H=0.25,Unit=normalized}}]}",
    ]  # fmt: skip
    files = {"sensed": sensed, "long": ["-XMP-dc:Description=" + "a long history " * 6000]}
    if suffix in ("jpg", "tif"):
        files["resources"] = ["-Photoshop:CopyrightFlag=1", "-Photoshop:URL=https://example.org"]
    if suffix != "avif":  # as it keeps its orientation elsewhere
        files["faces"] = regions
    for name, tags in files.items():
        path = folder / f"{name}-program.{suffix}"
        shutil.copy(folder / f"plain-program.{suffix}", path)
        subprocess.run(["exiftool", "-overwrite_original", *tags, path], check=True, capture_output=True)
    if suffix == "jpg":
        path = folder / "moving-program.jpg"
        shutil.copy(folder / "plain-program.jpg", path)
        words = ["exiftool", "-overwrite_original", "-XMP-GCamera:MicroVideo=1", path]
        subprocess.run(words, check=True, capture_output=True)
        with path.open("ab") as file:
            file.write(struct.pack(">I", 24) + b"ftypmp42" + bytes(12))


# --- Reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A file as read by independent programs."""

    path: Path

    @cached_property
    def identified(self) -> tuple[int, int, int, str]:
        """Width, height, bits and channels ("gray", "srgba"), as ImageMagick reads them."""
        form = "%w %h %[bit-depth] %[channels]"
        words = ["identify", "-format", form, str(self.path)]
        width, height, bits, channels = subprocess.check_output(words, text=True).split()
        return int(width), int(height), int(bits), channels

    @cached_property
    def tags(self) -> dict[str, Any]:
        """The tags that exiftool reads, by group and name."""
        words = ["exiftool", "-q", "-q", "-j", "-G1", "-n", "-a", str(self.path)]
        (tags,) = json.loads(subprocess.check_output(words, text=True))
        return tags

    def blob(self, name: str) -> bytes:
        """The bytes of one tag."""
        return subprocess.check_output(["exiftool", "-q", "-q", "-b", f"-{name}", str(self.path)])

    @cached_property
    def pixels(self) -> Any:
        """(h, w, c), as Pillow decodes them."""
        with Image.open(self.path) as image:
            return np.asarray(image)

    @cached_property
    def maker_note(self) -> bytes | None:
        """As Pillow reads it."""
        with Image.open(self.path) as image:
            return image.getexif().get_ifd(0x8769).get(0x927C)


Verdict = Callable[[File, File], str | None]
KEPT = "kept"


def group(file: File, *names: str) -> dict[str, Any]:
    """Tags of some groups of exiftool, without those on the file's structure."""
    found = {}
    for name, value in file.tags.items():
        family, _, tag = name.partition(":")
        if family.startswith(names) and tag not in STRUCTURE and "Thumbnail" not in tag:
            found[tag] = value
    return found


def depth(before: File, after: File) -> str | None:
    """The same number of bits."""
    if before.path.suffix == ".avif":
        bits = [str(file.tags["QuickTime:ImagePixelDepth"]).split()[0] for file in (before, after)]
    else:
        bits = [str(file.identified[2]) for file in (before, after)]
    return KEPT if bits[0] == bits[1] else f"converted: {bits[0]} bits to {bits[1]}"


def grey(before: File, after: File) -> str | None:
    """Grey stays grey."""
    if before.path.suffix == ".avif":
        same = before.tags["QuickTime:ImagePixelDepth"] == after.tags["QuickTime:ImagePixelDepth"]
    else:
        same = before.identified[3] == after.identified[3] == "gray"
    return KEPT if same else "converted: to RGB"


def alpha(before: File, after: File) -> str | None:
    """The same transparency."""
    if before.pixels.shape[-1] != 4:
        return None
    difference = np.abs(before.pixels[..., 3].astype(int) - after.pixels[..., 3])
    return KEPT if not difference.any() else f"converted: with loss, up to {difference.max()} of 255"


def hidden(before: File, after: File) -> str | None:
    """The same colours under full transparency, away from what is visible."""
    if before.pixels.shape[-1] != 4:
        return None
    y, x = np.mgrid[0 : before.pixels.shape[0], 0 : before.pixels.shape[1]]
    inside = y - x > 3
    assert (before.pixels[inside, 3] == 0).all()
    difference = np.abs(before.pixels[inside, :3].astype(int) - after.pixels[inside, :3])
    return KEPT if not difference.any() else f"converted: with loss, up to {difference.max()} of 255"


def profile(before: File, after: File) -> str | None:
    """The same colour profile, byte for byte."""
    blob = before.blob("ICC_Profile")
    if not blob:
        return None
    return KEPT if after.blob("ICC_Profile") == blob else "lost"


def compared(*names: str) -> Verdict:
    """The same tags in groups of exiftool."""

    def verdict(before: File, after: File) -> str | None:
        old, new = group(before, *names), group(after, *names)
        if not old:
            return None
        missing = [name for name in old if name not in new]
        changed = [
            name
            for name in old
            if name in new
            and old[name] != new[name]
            and not (isinstance(old[name], float | int) and np.isclose(old[name], new[name], rtol=1e-6))
        ]
        if len(missing) == len(old):
            return "lost"
        parts = [f"lost {name}" for name in missing] + [f"changed {name}" for name in changed]
        return "converted: " + ", ".join(parts) if parts else KEPT

    return verdict


def maker_notes(before: File, after: File) -> str | None:
    """The same maker notes, byte for byte."""
    if before.maker_note is None:
        return None
    return KEPT if after.maker_note == before.maker_note else "lost"


def thumbnail(before: File, after: File) -> str | None:
    """No thumbnail of the old picture."""
    if not before.blob("ThumbnailImage"):
        return None
    return (
        "KEPT, and shows the old picture"
        if after.blob("ThumbnailImage")
        else "left out: it shows the old picture"
    )


def orientation(before: File, after: File) -> str | None:
    """Turned once: the pixels, or the tag."""
    (width, height), (new_width, new_height) = before.identified[:2], after.identified[:2]
    turned = (new_width, new_height) in ((48, 64),)
    tag = after.tags.get("IFD0:Orientation", 1), after.tags.get("QuickTime:Rotation", 0)
    assert {width, height} == {48, 64}
    return "converted: pixels upright, tag 1" if turned and tag == (1, 0) else "lost"


def regions(before: File, after: File) -> str | None:
    """Faces and the subject are at the same places, in pixels turned by 90 degrees."""
    prefix = "XMP-mwg-rs:RegionArea"
    area = [round(after.tags.get(prefix + name, -1), 4) for name in "XYWH"]
    x, y, width, height = SUBJECT
    subject = f"{48 - y} {x} {height} {width}"
    turned = area == [0.5, 0.25, 0.25, 0.125] and after.tags.get("ExifIFD:SubjectArea") == subject
    return "converted: turned with the pixels" if turned else "lost"


def video(before: File, after: File) -> str | None:
    """Neither the video nor any metadata that announces it."""
    says = [name for name in after.tags if "MicroVideo" in name]
    return "KEPT in part" if says or b"ftypmp42" in after.path.read_bytes() else "lost"


def resolution(before: File, after: File) -> str | None:
    """The same pixels per inch."""
    old, new = (
        [
            file.tags[name] * (0.0254 if name.startswith("PNG") else 1)
            for name in (
                "IFD0:XResolution",
                "JFIF:XResolution",
                "PNG-pHYs:PixelsPerUnitX",
                "PNG:PixelsPerUnitX",
            )
            if name in file.tags
        ]
        for file in (before, after)
    )
    if not old:
        return None
    return KEPT if new and all(abs(value - old[0]) < 0.1 for value in new) else "lost"


def comment(before: File, after: File) -> str | None:
    """The same comment."""
    old, new = (
        [file.tags[name] for name in ("File:Comment", "PNG:Comment") if name in file.tags]
        for file in (before, after)
    )
    if not old:
        return None
    return KEPT if old == new else "lost"


def colours(before: File, after: File) -> str | None:
    """Colours subsampled as before."""
    jpeg, avif = "File:YCbCrSubSampling", "QuickTime:ChromaFormat"
    names = {jpeg: {"1 1": "4:4:4", "2 1": "4:2:2", "2 2": "4:2:0"}, avif: {"0": "4:4:4", "3": "4:2:0"}}
    found = [
        names[tag][str(file.tags[tag])]
        for file in (before, after)
        for tag in (jpeg, avif)
        if tag in file.tags
    ]
    return KEPT if found[0] == found[1] else f"converted: {found[0]} to {found[1]}"


def quality(before: File, after: File) -> str | None:
    """The quality of JPEG, by ImageMagick's estimate."""
    if before.path.suffix != ".jpg":
        return None
    old, new = (
        int(subprocess.check_output(["identify", "-format", "%Q", str(file.path)]))
        for file in (before, after)
    )
    return KEPT if old == new else f"converted: {old} to {new}"


PROPERTIES: tuple[tuple[str, str, Verdict], ...] = (  # name, beginning of the files' names, verdict
    ("8 bits", "plain", depth),
    ("more than 8 bits", "deep", depth),
    ("grey", "grey", grey),
    ("transparency", "alpha", alpha),
    ("colours under full transparency", "alpha", hidden),
    ("colour profile: Display P3", "rich", profile),
    ("colour profile: Adobe RGB", "adobe", profile),
    ("EXIF: camera, exposure, dates, rights, place", "rich", compared("IFD0", "ExifIFD", "GPS")),
    ("EXIF: sensors, computer, composites (2.31 to 3.0)", "sensed", compared("IFD0", "ExifIFD", "GPS")),
    ("EXIF: maker notes", "rich", maker_notes),
    ("EXIF: thumbnail", "rich", thumbnail),
    ("orientation", "turned", orientation),
    ("XMP", "rich", compared("XMP")),
    ("XMP: larger than 64 KiB", "long", compared("XMP-dc")),
    ("regions: faces (XMP), subject (EXIF), in turned pictures", "faces", regions),
    ("IPTC", "rich", compared("IPTC")),
    ("Photoshop resources: copyright flag, address", "resources", compared("Photoshop")),
    ("video behind the picture (motion photo)", "moving", video),
    ("resolution", "rich", resolution),
    ("comment", "rich", comment),
    ("colour subsampling", "saved", colours),
    ("quality", "saved", quality),
)


# --- The table --------------------------------------------------------------------------------------

INTRODUCTION = """\
# What each format preserves

Generated by `python benchmarks/fidelity.py`: every cell is measured. Files are written by libvips, Pillow,
ImageMagick, cwebp, avifenc, tiffcp and exiftool, restored by `hyperrestore denoise -l 5` into the same
format, and read by ImageMagick, exiftool and Pillow. "kept" means the same value, and for profiles and
maker notes the same bytes. Whatever a format cannot hold is reported on stderr. A cell with several
verdicts covers several files; "-" means that the format does not have the property, or that none of the
programs writes it. WebP and AVIF are lossy here, as by default; at `-q 100` their transparency, and the
colours under it, are kept.

"""


def measure(folder: Path, suffix: str, properties: Sequence[str] | None = None) -> dict[str, dict[str, str]]:
    """Restore files of one format and compare them with the originals.

    Args:
        folder: For all files.
        suffix: Of the format.
        properties: The rows to measure, on files made by libraries alone; None for all rows, on all files.

    Returns:
        The verdict, by property and by file.
    """
    made = folder / suffix
    made.mkdir()
    made_by_libraries(made, suffix)
    if properties is None:
        made_by_programs(made, suffix)
    restored = folder / f"{suffix}-restored"
    words = [
        sys.executable,
        "-m",
        "hyperrestore.cli.main",
        "denoise",
        *sorted(made.iterdir()),
        "-o",
        f"{restored}/",
    ]
    done = subprocess.run([*words, "-l", "5", "--json"], capture_output=True, text=True)
    notes = {Path(line["source"]).name: line["notes"] for line in map(json.loads, done.stdout.splitlines())}
    table: dict[str, dict[str, str]] = {}
    for name, beginning, verdict in PROPERTIES:
        if properties is not None and name not in properties:
            continue
        for path in sorted(made.glob(f"{beginning}*")):
            if path.name not in notes:
                raise SystemExit(f"{path.name} was not restored: {done.stderr}")
            text = verdict(File(path), File(restored / path.name))
            if text is None:
                continue
            if text.startswith("lost"):
                word = name.split()[0].strip(":").lower()
                said = [note for note in notes[path.name] if word in note.lower()]
                text = f"lost: {said[0]}" if said else "LOST IN SILENCE"
            table.setdefault(name, {})[path.name] = text
    for path in sorted(made.glob("several*")):
        refused = path.name not in notes and not (restored / path.name).exists() and path.name in done.stderr
        table.setdefault("several pages or frames", {})[path.name] = "refused" if refused else "FLATTENED"
    return table


def cell(verdicts: dict[str, str] | None) -> str:
    """One text for the verdicts on several files."""
    if not verdicts:
        return "-"
    texts = list(dict.fromkeys(verdicts.values()))
    return "; ".join(texts)


def page(tables: dict[str, dict[str, dict[str, str]]]) -> str:
    """The Markdown page of the tables by format."""
    lines = [
        "| | " + " | ".join(tables) + " |",
        "|---|" + "---|" * len(tables),
    ]
    for name in [*(name for name, _, _ in PROPERTIES), "several pages or frames"]:
        lines.append(f"| {name} | " + " | ".join(cell(table.get(name)) for table in tables.values()) + " |")
    return INTRODUCTION + "\n".join(lines) + "\n"


def saving(photos: Path) -> None:
    """Print PSNR and size of repaired JPEG files saved again in several ways, on held-out photos."""
    from hyperrestore import Restorer
    from hyperrestore.learn.photos import find_photos, split_photos

    _, held_out = split_photos(find_photos(photos))
    ways = ((85, "4:2:0"), (90, "4:2:0"), (95, "4:2:0"), (95, "4:4:4"), (97, "4:2:0"), (97, "4:4:4"))
    models = {"dejpeg": Restorer.load("dejpeg"), "denoise": Restorer.load("denoise")}
    generator = np.random.default_rng(0)

    def saved(pixels: Any, quality: int, sampling: str) -> tuple[Any, float]:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=sampling)
        return np.asarray(Image.open(stream).convert("RGB")), len(stream.getvalue()) / 1000

    def psnr(one: Any, other: Any) -> float:
        return 10 * float(np.log10(255**2 / np.square(one.astype(float) - other).mean()))

    print("damage, then dB (kB): input; repaired; saved at its own quality, 4:2:0;", *ways)
    for task, level, sigma in (("dejpeg", 30, 0), ("dejpeg", 75, 0), ("dejpeg", 90, 0), ("denoise", 90, 15)):
        rows = []
        for photo in held_out[:24]:
            clean = np.asarray(Image.open(photo.path).convert("RGB"))
            noisy = np.rint((clean + generator.normal(0, sigma, clean.shape)).clip(0, 255)).astype(np.uint8)
            before, size = saved(noisy, level, "4:2:0")
            floats = (before.transpose(2, 0, 1) / 255).astype(np.float32)
            restored = models[task](floats, sigma or level)
            pixels = np.rint(restored.transpose(1, 2, 0) * 255).astype(np.uint8)
            row = [(psnr(before, clean), size), (psnr(pixels, clean), 0.0)]
            for way in ((level, "4:2:0"), *ways):
                again, size = saved(pixels, *way)
                row.append((psnr(again, clean), size))
            rows.append(row)
        means = np.mean(rows, axis=0)
        print(f"{task} {level} {sigma}:", "; ".join(f"{decibel:.2f} ({size:.1f})" for decibel, size in means))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 if something is lost silently."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "docs" / "fidelity.md", help="the page")
    parser.add_argument(
        "--saving", type=Path, metavar="PHOTOS", help="measure the cost of saving a JPEG file again"
    )
    options = parser.parse_args(arguments)
    if options.saving:
        saving(options.saving)
        return 0
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        parser.error(
            f"{', '.join(missing)} are not installed: apt-get install imagemagick libimage-exiftool-perl "
            "webp libavif-bin libtiff-tools"
        )
    with tempfile.TemporaryDirectory() as folder:
        tables = {name: measure(Path(folder), suffix) for name, suffix in FORMATS.items()}
    text = page(tables)
    options.out.write_text(text, encoding="utf-8")
    for name, table in tables.items():
        for row, verdicts in table.items():
            for file, verdict in verdicts.items():
                print(f"{name}: {row}: {file}: {verdict}")
    return 1 if any(word in text for word in ("LOST", "KEPT", "FLATTENED")) else 0


if __name__ == "__main__":
    sys.exit(main())

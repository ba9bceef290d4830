"""What exiftool finds in a file, it finds in the copy, from every format to every format; or it is said."""

import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from makers import KINDS, copy, restored, smooth
from PIL import Image

EXIFTOOL = shutil.which("exiftool")
pytestmark = pytest.mark.skipif(
    EXIFTOOL is None,
    reason="exiftool is not installed: make test-programs installs it",
)
TAGS = [
    "-IFD0:HostComputer=phone 12", "-IFD0:DocumentName=dn", "-IFD0:ProcessingSoftware=p", "-IFD0:Artist=X",
    "-IFD0:XPComment=q", "-IFD0:UniqueCameraModel=u", "-IFD0:CameraLabel=c", "-IFD0:ImageDescription=d",
    "-IFD0:XResolution=1", "-IFD0:YResolution=1", "-IFD0:ResolutionUnit=None",
    "-ExifIFD:AmbientTemperature=21.5", "-ExifIFD:Humidity=40", "-ExifIFD:Pressure=1013",
    "-ExifIFD:WaterDepth=3",
    "-ExifIFD:Acceleration=100", "-ExifIFD:CameraElevationAngle=3.5", "-ExifIFD:OffsetTimeOriginal=+01:00",
    "-ExifIFD:CompositeImage#=2", "-ExifIFD:CompositeImageCount=2 3", "-ExifIFD:Gamma=2.2",
    "-ExifIFD:SensitivityType#=2", "-ExifIFD:LensInfo=24 70 2.8 2.8", "-ExifIFD:OwnerName=me",
    "-ExifIFD:SubjectArea=20 10 8 6", "-ExifIFD:ImageUniqueID=0123456789abcdef0123456789abcdef",
    "-GPS:GPSLatitude=53.867", "-GPS:GPSLatitudeRef=N", "-GPS:GPSHPositioningError=4.5",
    "-XMP-dc:Title=A title", "-XMP-xmp:Rating=4", "-XMP-photoshop:City=Cuxhaven", "-XMP-dc:Subject=a",
    "-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=60,H=40,Unit=pixel},RegionList=[{Name=cup,Type=Face,"
    "Area={X=0.2,Y=0.3,W=0.2,H=0.3,Unit=normalized}}]}",
]  # fmt: skip
ONLY_JPEG_AND_TIFF = ["-IPTC:City=Cuxhaven", "-IPTC:Keywords=sea", "-Photoshop:CopyrightFlag=1"]
GROUPS = ("IFD0", "ExifIFD", "GPS", "XMP", "IPTC", "Photoshop", "Canon", "InteropIFD")
STRUCTURE = {
    "ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "PhotometricInterpretation", "StripOffsets",
    "SamplesPerPixel", "RowsPerStrip", "StripByteCounts", "PlanarConfiguration", "Predictor", "SampleFormat",
    "YCbCrPositioning", "Orientation", "ExifImageWidth", "ExifImageHeight", "FillOrder", "SubfileType",
    "ExifVersion", "FlashpixVersion", "ComponentsConfiguration", "ColorSpace", "XMPToolkit", "GPSVersionID",
}  # fmt: skip


def exiftool(*words):
    done = subprocess.run(
        [EXIFTOOL, "-q", "-q", *map(str, words)], capture_output=True, text=True, check=True
    )
    return done.stdout


def said(*paths):
    """By file and tag with its group, without what tells how pixels are stored."""
    found = json.loads(exiftool("-j", "-G1", "-n", "-a", "-struct", *paths))
    return [
        {
            name: value
            for name, value in tags.items()
            if name.startswith(GROUPS) and name.split(":")[1] not in STRUCTURE
        }
        for tags in found
    ]


def canon_block():
    """An EXIF block whose maker note holds offsets that count from the beginning of the block."""
    make, model, kind, firmware = b"Canon\0", b"Canon EOS\0", b"IMG:EOS\0".ljust(32, b"\0"), b"Firmware 1.0\0"
    first, details, note = 8, 8 + 2 + 3 * 12 + 4, 8 + 2 + 36 + 4 + 2 + 12 + 4
    values = note + 2 + 2 * 12 + 4
    places = {}
    for name, text in (("kind", kind), ("firmware", firmware), ("make", make), ("model", model)):
        places[name] = values
        values += len(text) + len(text) % 2
    entry = lambda tag, kind, count, value: struct.pack("<HHII", tag, kind, count, value)  # noqa: E731
    block = b"II*\0" + struct.pack("<I", first)
    block += struct.pack("<H", 3) + entry(0x010F, 2, len(make), places["make"])
    block += entry(0x0110, 2, len(model), places["model"]) + entry(0x8769, 4, 1, details) + bytes(4)
    block += struct.pack("<H", 1) + entry(0x927C, 7, values - note, note) + bytes(4)
    block += struct.pack("<H", 2) + entry(6, 2, len(kind), places["kind"])
    block += entry(7, 2, len(firmware), places["firmware"]) + bytes(4)
    return block + b"".join(text + bytes(len(text) % 2) for text in (kind, firmware, make, model))


def rich(path):
    options = {"lossless": True} if path.suffix == ".webp" else {}
    Image.fromarray(smooth().transpose(1, 2, 0)).save(path, **options)
    more = ONLY_JPEG_AND_TIFF if path.suffix in (".jpg", ".tif") else []
    exiftool("-overwrite_original", *TAGS, *more, path)


@pytest.mark.parametrize("source", KINDS)
def test_every_tag_is_in_the_copy_or_said_to_be_left_out(tmp_path, source):
    rich(tmp_path / f"a.{source}")
    notes = {kind: " ".join(restored(tmp_path / f"a.{source}", tmp_path / f"b.{kind}")) for kind in KINDS}
    before, *after = said(tmp_path / f"a.{source}", *(tmp_path / f"b.{kind}" for kind in KINDS))
    assert len(before) >= 34 and before["IFD0:HostComputer"] == "phone 12"
    for kind, found in zip(KINDS, after, strict=True):
        gone = {name: value for name, value in before.items() if found.get(name) != value}
        if source == "tif" and kind != "tif":  # a resolution of 1x1 without a unit says nothing elsewhere
            gone = {name: value for name, value in gone.items() if "Resolution" not in name}
        words = {"IFD0": "TIFF tags", "IPTC": "IPTC", "Photoshop": "Photoshop"}
        gone = {
            name: value
            for name, value in gone.items()
            if words.get(name.split(":")[0], "never") not in notes[kind]
        }
        assert not gone, (kind, gone, notes[kind])


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "avif"])
def test_offsets_of_maker_notes_stay_valid(tmp_path, kind):
    block = canon_block()
    Image.fromarray(smooth().transpose(1, 2, 0)).save(tmp_path / f"a.{kind}", exif=b"Exif\0\0" + block)
    assert copy(tmp_path / f"a.{kind}", tmp_path / f"b.{kind}") == ()
    words = ("-j", "-G1", "-n", "-a", "-Canon:all", "-Warning")
    before, after = json.loads(exiftool(*words, tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"))
    assert after.pop("SourceFile") != before.pop("SourceFile")
    assert (
        after == before == {"Canon:CanonImageType": "IMG:EOS", "Canon:CanonFirmwareVersion": "Firmware 1.0"}
    )


def test_files_are_sound(tmp_path):
    """Validated by exiftool: no warning is there that the original has not."""
    for kind in set(KINDS) - {"tif"}:  # IPTC stands there under another type than exiftool expects
        rich(tmp_path / f"a.{kind}")
        copy(tmp_path / f"a.{kind}", tmp_path / f"b.{kind}")
        words = ("-validate", "-warning", "-error", "-a", "-G1", "-j")
        before, after = json.loads(exiftool(*words, tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"))
        new = {name: value for name, value in after.items() if "Warning" in name or "Error" in name}
        assert {**before, **new, "SourceFile": ""} == {**before, "SourceFile": ""}
        with Image.open(tmp_path / f"b.{kind}") as image:
            assert np.asarray(image).shape == (40, 60, 3)

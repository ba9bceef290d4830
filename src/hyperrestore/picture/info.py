"""What a picture file says besides its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hyperrestore.picture.containers.tiff_directory import TiffTag
from hyperrestore.picture.containers.tiff_samples import alpha_of


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What a picture file says besides its pixels.

    Attributes:
        width: Pixels per row, orientation applied.
        height: Rows, orientation applied.
        channels: 1 for grey, 3 for RGB; alpha is not counted.
        bits: 8 or 16, the depth of the rows; 10 and 12 bit AVIF are scaled to 16.
        has_alpha: Whether the file has an alpha channel.
        notes: One plain sentence per conversion that was made.
        icc_profile: Colour profile, byte for byte.
        exif: EXIF block, a small TIFF without the prefix that JPEG puts before it, and without the thumbnail,
            which would show the picture as it was. Besides, the file's own bytes.
        xmp: XMP packet, with what JPEG may keep apart from it (extended XMP).
        iptc: IPTC-IIM records, without the Photoshop envelope that JPEG puts around them.
        photoshop: Photoshop's other resources, as clipping paths, one after another.
        text: PNG text entries, (keyword, text).
        comments: Comments of a JPEG file, in no known encoding.
        resolution: Pixels per millimetre (horizontal, vertical), or None where the file does not say.
        quality: At which a JPEG file was saved, 1 to 100, or the nearest to it that libjpeg has; None for
            other files.
        subsampling: How many pixels share a colour in a JPEG file, (in a row, in a column); None for other
            and grey files.
        extra_samples: What a TIFF file has for each pixel besides colours, in its order, if any of it is
            other than alpha: 0 for unspecified (as infrared), 1 and 2 for alpha; empty if there is nothing.
        tags: Tags of a TIFF file that stand for none of the above and not for the storage of pixels.
    """

    width: int
    height: int
    channels: int
    bits: int = 8
    has_alpha: bool = False
    notes: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    photoshop: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    comments: tuple[bytes, ...] = ()
    resolution: tuple[float, float] | None = None
    quality: int | None = None
    subsampling: tuple[int, int] | None = None
    extra_samples: tuple[int, ...] = ()
    tags: tuple[TiffTag, ...] = ()

    @property
    def others(self) -> int:
        """How many samples a pixel has besides colours and alpha."""
        return len(self.extra_samples) - (alpha_of(self.extra_samples) is not None)

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """The type of the rows that are read and written."""
        return np.dtype(np.uint8) if self.bits == 8 else np.dtype(np.uint16)

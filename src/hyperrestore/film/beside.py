"""What the frames of a film hold beside their samples, and those of a restored one do not."""

from __future__ import annotations

from typing import Any

# FFmpeg's side data of a frame, in words. What HDR is made of is in `hdr`; turns are kept.
LOST = {
    "A53_CC": "closed captions",
    "STEREO3D": "how two views share a picture (stereoscopic)",
    "SPHERICAL": "the projection (spherical)",
    "ICC_PROFILE": "the colour profile (ICC)",
    "AFD": "the active format (AFD)",
    "PANSCAN": "pan and scan",
    "GOP_TIMECODE": "timecodes",
    "S12M_TIMECODE": "timecodes",
    "AMBIENT_VIEWING_ENVIRONMENT": "the ambient viewing environment",
}


def lost_beside(frame: Any) -> tuple[str, ...]:
    """Names of what is not kept, as far as the first frame of a film has it."""
    kinds = {data.type.name for data in frame.side_data}
    return tuple(dict.fromkeys(name for kind, name in LOST.items() if kind in kinds))

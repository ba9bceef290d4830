"""What the server and a page say to each other, as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from hyperrestore.level import Task
from hyperrestore.restore.repair import Size

ShippedTask = Literal[Task.PHOTO, Task.DENOISE, Task.DEJPEG, Task.UPSCALE]  # what `level.SHIPPED` has
State = Literal["queued", "running", "done", "failed", "cancelled"]
Suffix = Literal["png", "jpg", "webp", "tif", "avif"]


class Failure(BaseModel):
    """Why something was not done."""

    error: str = Field(description="A plain sentence: what was given, what is allowed, what to do.")


class Axis(BaseModel):
    """A further level of a task, besides the one on its dial."""

    unit: str = Field(description="What it measures.")
    field: str = Field(description="Its name in requests: softness, colour_noise or jpeg_quality.")
    low: float = Field(description="The smallest value that is accepted.")
    high: float = Field(description="The largest value that is accepted.")
    trained: tuple[float, float] = Field(description="Beyond these values the model extrapolates.")
    origin: float = Field(description="The value without this damage; of softness, the usual one.")


class TaskLevels(BaseModel):
    """A task, and the levels of its dial."""

    task: Task
    unit: str = Field(description="What its level measures: noise, sigma, quality or scale.")
    low: float = Field(description="The smallest level that is accepted.")
    high: float = Field(description="The largest level that is accepted.")
    trained: tuple[float, float] = Field(description="Beyond these levels the model extrapolates.")
    weakest: float = Field(description="The level in `trained` that changes least.")
    strongest: float = Field(description="The level in `trained` that changes most.")
    usual: list[float] = Field(description="Levels to choose from, weakest first.")
    maps: bool = Field(description="Whether it accepts a map of levels.")
    grain: bool = Field(description="Whether it accepts grain.")
    axes: list[Axis] = Field(description="Further levels that its model accepts.")


class Limits(BaseModel):
    """What is refused."""

    bytes: int = Field(description="The most bytes of a file.")
    pixels: int = Field(description="The most pixels of a photo.")
    result_pixels: int = Field(description="The most pixels of a result.")
    view_pixels: int = Field(description="The most pixels of a region.")
    reductions: list[int] = Field(description="The values that `reduce` may have.")


class PageOpened(BaseModel):
    """A page, and what it can ask for."""

    page: str
    tasks: list[TaskLevels]
    limits: Limits
    formats: list[Suffix]
    version: str


class Finding(BaseModel):
    """What was found in a photo, of one kind of damage."""

    level: float | None = Field(
        description="How strong it is; null if nothing needs repair. A job without a level takes the nearest "
        "that the model was trained for."
    )
    sentence: str


class PhotoInfo(BaseModel):
    """A photo."""

    id: str
    name: str
    format: str
    width: int
    height: int
    bits: int
    channels: int
    has_alpha: bool
    notes: list[str]
    findings: dict[str, Finding] = Field(
        description="By task: the noise, for `denoise` and for `photo`, and the JPEG quality, for `dejpeg`."
    )


class MapInfo(BaseModel):
    """A map of levels."""

    map: str


class JobRequest(BaseModel):
    """A whole photo to be restored and written to a file."""

    model_config = ConfigDict(extra="forbid", strict=True)  # true is no number, nor "5", nor 5.0 a whole one

    task: ShippedTask
    level: FiniteFloat | None = Field(
        None,
        description="In the task's unit; for upscaling, the scale. If it is missing, the level is estimated "
        "from the photo, for `photo` further levels as well; a photo that needs no repair is copied byte for "
        "byte, unless `format` or `quality` is given. Upscaling takes exactly one of `level`, `to_width`, "
        "`to_height` and `long_side`.",
    )
    to_width: int | None = Field(None, ge=1, description="For upscaling: width of the result, pixels.")
    to_height: int | None = Field(None, ge=1, description="For upscaling: height of the result, pixels.")
    long_side: int | None = Field(None, ge=1, description="For upscaling: longer side of the result, pixels.")
    softness: FiniteFloat | None = Field(
        None,
        description="How soft the photo is, for a task that lists this level in `axes`: 0 is sharp to the "
        "pixel, 1 (default) is shrunk as usual, more is blurred. A higher value makes the result sharper.",
    )
    colour_noise: FiniteFloat | None = Field(
        None, description="For `photo`: the level of the noise of colours; by default as `level`."
    )
    jpeg_quality: FiniteFloat | None = Field(
        None,
        description="For `photo`: the quality at which it was saved; by default it is estimated, or "
        "with a map 100, which stands for no JPEG.",
    )
    map: str | None = Field(
        None,
        description="A map of the photo: white means `level`, and `colour_noise` and `jpeg_quality`; black "
        "means `map_level`, and none of the others.",
    )
    map_level: FiniteFloat | None = Field(
        None, description="The level where the map is black; by default the task's weakest."
    )
    grain: float = Field(0.0, ge=0, le=1, description="Share of the luminance noise to put back.")
    format: Suffix | None = Field(None, description="Format of the result; by default that of the photo.")
    quality: int | None = Field(None, ge=1, le=100, description="For JPEG, WebP and AVIF.")

    @property
    def size(self) -> Size:
        """Requested size of the result, if no scale is given."""
        return Size(self.to_width, self.to_height, self.long_side)


class JobStatus(BaseModel):
    """How far a job is."""

    id: str
    photo: str
    request: JobRequest
    state: State
    done: int = Field(description="Tiles restored so far.")
    total: int = Field(description="All tiles; 0 until they are counted.")
    seconds_left: float | None
    notes: list[str]
    error: str | None

"""Films, made and read with PyAV: what is restored, what is kept, and what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

import hyperrestore.film.restore
from hyperrestore import Picture, PictureInfo, Restorer, read_picture, write_picture
from hyperrestore.cli.main import main
from hyperrestore.film.frames import frame_of, layout_of
from hyperrestore.film.hdr import hdr_of, lost_hdr, with_hdr
from hyperrestore.film.levels import MOST_CHANGE, findings_along, followed
from hyperrestore.film.restore import restore_film
from hyperrestore.film.siting import siting_name
from hyperrestore.film.source import frames_from, read_film
from hyperrestore.restore.repair import Repair, repair_at
from tests.makers import example_photo

av = pytest.importorskip("av")
SECOND = Fraction(1, 1000)
TURNED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)  # a display matrix: a quarter turn


# --- Films ------------------------------------------------------------------------------------------


def scenes(count, height=48, width=64, sigma=8):
    """Frames (3, h, w) of a photo that moves, with noise; of wide ones the photo is repeated."""
    photo = example_photo("coffee", 40, 100)
    photo = np.tile(photo, (1, 1, -(-width // photo.shape[2])))
    generator = np.random.default_rng(0)
    for index in (index % 200 for index in range(count)):
        noise = generator.normal(0, sigma / 255, (3, height, width))
        yield (photo[:, index : index + height, :width] + noise).clip(0, 1).astype(np.float32)


def samples(pixels, layout):
    """Samples of a format for a picture; colours without a matrix of any standard, but to see them move."""
    most = 2**layout.bits - 1
    down, across = layout.apart
    planes = [pixels[0], pixels[1, ::down, ::across], pixels[2, ::down, ::across]]
    return [
        np.rint(plane * most).astype(np.uint8 if layout.bits == 8 else np.uint16)
        for plane in planes[: 1 if layout.kind == "grey" else 3]
    ]


def add_pictures(container, codec, format_name, *, size=(48, 64), base=SECOND, options=None, **colours):
    stream = container.add_stream(codec, rate=24, options=options or {})
    stream.height, stream.width = size
    stream.pix_fmt = format_name
    stream.codec_context.time_base = base
    for name, value in colours.items():
        setattr(stream.codec_context, name, value)
    return stream


def encode(container, stream, frames, times, base=SECOND, **colours):
    layout = layout_of(stream.pix_fmt)
    for pixels, moment in zip(frames, times, strict=True):
        frame = frame_of(samples(pixels, layout), layout)
        if stream.pix_fmt != layout.name:
            frame = frame.reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = moment, base
        for name, value in colours.items():
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def make_film(path, count=12, *, codec="ffv1", format_name="yuv420p", times=None, base=SECOND, **more):
    """A film of pictures alone."""
    sigma, size, options = more.pop("sigma", 8), more.pop("size", (48, 64)), more.pop("options", None)
    display, aspect = more.pop("display", None), more.pop("aspect", None)
    times = [round(index / 24 / base) for index in range(count)] if times is None else times
    with av.open(str(path), "w") as container:
        stream = add_pictures(container, codec, format_name, size=size, base=base, options=options, **more)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        stream.set_display_matrix(display)
        encode(container, stream, scenes(len(times), *size, sigma=sigma), times, base, **more)
    return path


def frames_of(path):
    """All frames, as they are stored: times in seconds, and planes."""
    film = read_film(path)
    return [(frame.time * film.time_base, frame.planes) for frame in frames_from(film)]


def packets_of(path, kind):
    with av.open(str(path)) as container:
        (stream,) = [stream for stream in container.streams if stream.type == kind]
        return [
            (packet.pts * packet.time_base, packet.duration, bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]


def denoise(source, target, *words, model=None, level="20"):
    given = ["--model", str(model)] if model else []
    levels = ["-l", level] if level else []
    return main(["denoise", str(source), "-o", str(target), *levels, *given, *words])


def same_planes(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# --- What is restored -------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["bgr0", "gbrp10le"])
def test_a_frame_is_restored_as_a_picture_is(tmp_path, tiny_model, format_name):
    """Without a loss by the codec: within one step of 255 of what the command line makes of the picture."""
    film = make_film(tmp_path / "film.mkv", 4, format_name=format_name)
    assert denoise(film, tmp_path / "out.mkv", "--lossless", model=tiny_model) == 0
    coding = read_film(film).coding
    for (_, before), (_, after) in zip(frames_of(film), frames_of(tmp_path / "out.mkv"), strict=True):
        pixels, bits = coding.to_pixels(before), 8 if coding.bits == 8 else 16
        write_picture(tmp_path / "a.png", Picture(pixels, None, PictureInfo(64, 48, 3, bits)), overwrite=True)
        assert denoise(tmp_path / "a.png", tmp_path / "b.png", "--overwrite", model=tiny_model) == 0
        restored = read_picture(tmp_path / "b.png").pixels
        assert np.abs(restored - pixels).max() > 3 / 255
        assert np.abs(restored - coding.to_pixels(after)).max() <= 1 / 255


@pytest.mark.parametrize(
    "format_name",
    ["yuv420p", "yuv422p10le", "yuv444p12le", "yuv411p", "yuv410p", "yuv440p", "gray", "gray10le", "bgr0"],
)
def test_at_level_0_every_sample_stays(tmp_path, tiny_model, format_name):
    film = make_film(tmp_path / "film.mkv", 3, format_name=format_name)
    assert denoise(film, tmp_path / "out.mkv", "--lossless", model=tiny_model, level="0") == 0
    assert read_film(tmp_path / "out.mkv").layout == read_film(film).layout
    for (_, before), (_, after) in zip(frames_of(film), frames_of(tmp_path / "out.mkv"), strict=True):
        assert same_planes(before, after)


@pytest.mark.parametrize(
    ("format_name", "codec", "written"),
    [
        ("yuv420p", "libx264", "h264"),
        ("yuv422p", "libx264", "h264"),
        ("yuv444p", "libx264", "h264"),
        ("yuv420p10le", "libx265", "hevc"),
        ("yuv422p10le", "libx264", "hevc"),
        ("yuv444p12le", "libx265", "hevc"),
        ("gbrp", "libx265", "hevc"),
    ],
)
def test_depth_and_subsampling_are_kept(tmp_path, tiny_model, format_name, codec, written):
    options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    film = make_film(tmp_path / "film.mp4", 3, codec=codec, format_name=format_name, options=options)
    assert denoise(film, tmp_path / "out.mp4", model=tiny_model, level="5") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == (written, format_name)
        assert stream.codec_context.codec_tag == ("hvc1" if written == "hevc" else "avc1")


def test_noise_is_removed_at_the_level_that_is_found(tmp_path):
    """By the shipped model: nearer to the film without noise."""
    film = make_film(tmp_path / "film.mkv", 12, format_name="bgr0", sigma=20)
    clean = make_film(tmp_path / "clean.mkv", 12, format_name="bgr0", sigma=0)
    assert main(["restore", str(film), "-o", str(tmp_path / "out.mkv"), "--lossless"]) == 0

    def error(path):
        pairs = zip(frames_of(path), frames_of(clean), strict=True)
        return np.sqrt(np.mean([(np.float64(a) - b) ** 2 for (_, a), (_, b) in pairs]))

    assert error(tmp_path / "out.mkv") < 0.5 * error(film)


def test_a_clean_film_is_copied(tmp_path, capsys):
    film = make_film(tmp_path / "film.mkv", 3, format_name="bgr0", sigma=0)
    words = ["restore", str(film), "-o", str(tmp_path / "out.mkv"), "--noise", "none"]
    assert main(words) == 0
    assert (tmp_path / "out.mkv").read_bytes() == film.read_bytes()
    assert "copied byte for byte" in capsys.readouterr().err


def test_a_film_is_enlarged(tmp_path, upscale_model):
    film = make_film(tmp_path / "film.mkv", 3, aspect=Fraction(4, 3))
    words = ["upscale", str(film), "-o", str(tmp_path / "out.mkv"), "-s", "2", "--model", str(upscale_model)]
    assert main(words) == 0
    result = read_film(tmp_path / "out.mkv")
    assert (result.width, result.height, len(result.times)) == (128, 96, 3)
    assert result.layout.name == "yuv420p"


# --- What is kept -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_times_turns_shapes_and_colours_are_kept(tmp_path, tiny_model, suffix):
    """Frames of different durations, too; and over several segments with frames in another order."""
    base = SECOND if suffix == "mkv" else Fraction(1, 90000)
    steps = np.random.default_rng(1).integers(9, 90, 30)
    times = [int(step) * round(SECOND / base) + index % 2 for index, step in enumerate(np.cumsum(steps))]
    colours = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 2}
    film = make_film(
        tmp_path / f"film.{suffix}", codec="libx264", times=times, base=base, display=TURNED,
        aspect=Fraction(16, 11), options={"chroma_sample_location": "topleft"}, **colours,
    )  # fmt: skip
    target = tmp_path / f"out.{suffix}"
    restorer = Restorer.load(tiny_model)
    restore_film([restorer], [repair_at(restorer, 5.0)], film, target, segment=7)
    before, after = read_film(film), read_film(target)
    for name in (
        "times",
        "time_base",
        "primaries",
        "transfer",
        "matrix",
        "range",
        "siting",
        "display",
        "aspect",
    ):
        assert getattr(after, name) == getattr(before, name), name
    assert after.siting == "topleft" and after.display == TURNED and after.matrix == 9 and after.range == 2
    assert [moment for moment, _ in frames_of(target)] == [moment for moment, _ in frames_of(film)]
    with av.open(str(target)) as container:
        decoded = [p.dts for p in container.demux(container.streams.video[0]) if p.dts is not None]
    assert decoded == sorted(set(decoded))


@pytest.mark.parametrize("siting", ["left", "center", "topleft", "top"])
def test_the_place_of_colours_is_kept(tmp_path, tiny_model, siting):
    options = {"chroma_sample_location": siting}
    film = make_film(tmp_path / "film.mkv", 2, codec="libx264", options=options)
    for words in ([], ["--lossless"]):
        assert denoise(film, tmp_path / "out.mkv", "--overwrite", *words, model=tiny_model, level="5") == 0
        with av.open(str(tmp_path / "out.mkv")) as container:
            assert siting_name(container.streams.video[0]) == siting


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(16, 11), Fraction(64, 45), Fraction(1)])
def test_the_shape_of_pixels_is_kept_without_a_loss_too(tmp_path, tiny_model, aspect):
    film = make_film(tmp_path / "film.mp4", 2, codec="libx264", aspect=aspect)
    assert denoise(film, tmp_path / "out.mkv", "--lossless", model=tiny_model) == 0
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert (container.streams.video[0].sample_aspect_ratio or 1) == aspect
    assert len(frames_of(tmp_path / "out.mkv")) == 2


# The display in x265's words: green, blue, red and white in units of 0.00002; the luminances of 0.0001 cd/m2.
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
HDR10 = {
    "libx265": {"x265-params": f"log-level=error:master-display={DISPLAY}:max-cll=1000,400"},
    "libx264": {"x264-params": f"mastering-display={DISPLAY}:cll=1000,400"},
}


def brightness(path):
    """The HDR metadata of every frame, as FFmpeg gives them."""
    names = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
    with av.open(str(path)) as container:
        return [
            [bytes(frame.side_data.get(name) or b"") for name in names] for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize(("codec", "format_name"), [("libx265", "yuv420p10le"), ("libx264", "yuv420p")])
def test_hdr_metadata_are_kept(tmp_path, capsys, tiny_model, suffix, codec, format_name):
    colours = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}
    film, target = tmp_path / f"film.{suffix}", tmp_path / f"out.{suffix}"
    make_film(film, 5, codec=codec, format_name=format_name, options=HDR10[codec], **colours)
    restorer = Restorer.load(tiny_model)
    done = restore_film([restorer], [repair_at(restorer, 5.0)], film, target, segment=2)
    assert not done.notes
    said = brightness(film)[0]
    assert all(said)
    every = range(5) if codec == "libx265" else (0, 2, 4)  # H.264 says it in whole pictures only
    assert [brightness(target)[number] for number in every] == [said] * len(every)
    numbers = np.frombuffer(said[0], np.int32)
    assert numbers[0] / numbers[1] == 0.68 and numbers[18] / numbers[19] == 1000


def test_hdr_metadata_that_are_lost_are_named(tmp_path, capsys, tiny_model):
    film = make_film(
        tmp_path / "film.mkv", 2, codec="libx265", format_name="yuv420p10le", options=HDR10["libx265"]
    )
    assert denoise(film, tmp_path / "out.mkv", "--lossless", model=tiny_model) == 0
    lost = "of the HDR metadata, the mastering display and the content light level cannot be kept in ffv1\n"
    assert lost in capsys.readouterr().err
    assert brightness(tmp_path / "out.mkv") == [[b"", b""]] * 2


def test_what_cannot_be_written_of_hdr():
    """Dynamic metadata, and a display of which only the luminances are known."""
    partly = [50000, 50000] * 10 + [0, 1]
    data = {
        "DOVI_METADATA": b"",
        "DOVI_RPU_BUFFER": b"",
        "MASTERING_DISPLAY_METADATA": np.int32(partly).tobytes(),
    }
    frame = SimpleNamespace(side_data=[Data(SimpleNamespace(name=name), each) for name, each in data.items()])
    hdr = hdr_of(frame)
    assert hdr == (None, None, ("Dolby Vision", "an incomplete mastering display"))
    assert with_hdr(hdr, "libx265", {"crf": "16"}) == {"crf": "16"}
    (sentence,) = lost_hdr(hdr, "libx265")
    assert sentence.endswith("Dolby Vision and an incomplete mastering display cannot be kept in libx265")


def captioned(packet):
    """A packet of H.264 with closed captions (ATSC A/53) in front of the picture."""
    pairs = b"\xff" + bytes([0xFC, 0x94, 0x2C]) * 2 + b"\xff"
    payload = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | 2]) + pairs
    unit = b"\x06\x04" + bytes([len(payload)]) + payload + b"\x80"
    result = av.Packet(b"\0\0\0\1" + unit + bytes(packet))
    result.pts, result.dts, result.time_base = packet.pts, packet.dts, packet.time_base
    result.is_keyframe, result.stream = packet.is_keyframe, packet.stream
    return result


def test_closed_captions_in_the_pictures_are_named_as_lost(tmp_path, capsys, tiny_model):
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        stream = add_pictures(container, "libx264", "yuv420p", base=Fraction(1, 24), options={"bf": "0"})
        layout = layout_of("yuv420p")
        for number, pixels in enumerate(scenes(3)):
            frame = frame_of(samples(pixels, layout), layout)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux([captioned(packet) for packet in stream.encode(frame)])
        container.mux([captioned(packet) for packet in stream.encode(None)])
    assert read_film(film).beside == ("closed captions",)
    assert denoise(film, tmp_path / "out.mp4", model=tiny_model) == 0
    assert "of its frames, closed captions cannot be kept\n" in capsys.readouterr().err


class Data(NamedTuple):
    """Side data, as far as it is looked at."""

    type: SimpleNamespace
    content: bytes

    def __bytes__(self):
        return self.content


def make_rich_film(path):
    """Pictures with sound, subtitles, an attached file, chapters and titles."""
    with av.open(str(path), "w") as container:
        pictures = add_pictures(container, "libx264", "yuv420p")
        sound = container.add_stream("aac", rate=48000)
        text = container.add_mux_stream("subrip", time_base=SECOND)
        container.add_attachment("font.ttf", "font/ttf", b"a font")
        container.metadata["title"] = "A film"
        sound.metadata["language"], text.metadata["title"] = "deu", "All of it"
        text.disposition = av.stream.Disposition.forced
        container.set_chapters(
            [{"id": 1, "start": 0, "end": 700, "time_base": SECOND, "metadata": {"title": "The first"}}]
        )
        for index in range(10):
            wave = np.sin(np.arange(4800) * 0.05 + index)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2, axis=0), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, index * 4800, Fraction(1, 48000)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for index in range(3):
            packet = av.Packet(f"line {index}".encode())
            packet.stream, packet.time_base = text, SECOND
            packet.pts = packet.dts = 300 * index
            packet.duration = 200
            container.mux(packet)
        encode(container, pictures, scenes(24), [index * 1000 // 24 for index in range(24)])
    return path


def test_everything_but_the_pictures_is_copied(tmp_path, tiny_model):
    film, target = make_rich_film(tmp_path / "film.mkv"), tmp_path / "out.mkv"
    assert denoise(film, target, model=tiny_model) == 0
    for kind in ("audio", "subtitle"):
        assert packets_of(target, kind) == packets_of(film, kind)
        assert packets_of(film, kind)
    with av.open(str(film)) as before, av.open(str(target)) as after:
        assert [stream.type for stream in after.streams] == [stream.type for stream in before.streams]
        assert after.chapters() == before.chapters() and len(after.chapters()) == 1
        assert after.metadata["title"] == "A film"
        for one, other in zip(before.streams, after.streams, strict=True):
            assert other.disposition == one.disposition
            for name in ("language", "title", "filename", "mimetype"):
                assert other.metadata.get(name) == one.metadata.get(name)
        assert after.streams.attachments[0].data == b"a font"


def test_a_cover_is_copied_and_not_restored(tmp_path, tiny_model):
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        pictures = add_pictures(container, "libx264", "yuv420p", base=Fraction(1, 24))
        cover = add_pictures(container, "mjpeg", "yuvj420p", size=(64, 96))
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame(96, 64, "yuvj420p")
        frame.pts = 0
        (packet, *_) = [*cover.encode(frame), *cover.encode(None)]
        container.mux(packet)
        encode(container, pictures, scenes(5), range(5), Fraction(1, 24))
    assert denoise(film, tmp_path / "out.mp4", model=tiny_model) == 0
    with av.open(str(film)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        old, new = before.streams.video[1], after.streams.video[1]
        assert new.disposition == old.disposition == av.stream.Disposition.attached_pic
        assert bytes(next(after.demux(new))) == bytes(next(before.demux(old)))


# --- Levels -----------------------------------------------------------------------------------------


def make_noisier(path, count, sigma):
    """A film without motion whose noise doubles halfway."""
    photo, generator = example_photo("coffee", 40, 100)[:, :96, :128], np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = add_pictures(container, "ffv1", "bgr0", size=(96, 128))
        frames = (
            (photo + generator.normal(0, sigma * (1 + (2 * index >= count)) / 255, photo.shape))
            .clip(0, 1).astype(np.float32)
            for index in range(count)
        )  # fmt: skip
        encode(container, stream, frames, [40 * index for index in range(count)])
    return path


def test_the_level_follows_noise_that_doubles_without_flicker(tmp_path):
    count, sigma = 480, 10
    film = read_film(make_noisier(tmp_path / "film.mkv", count, sigma))
    restorer = Restorer.load("denoise")
    levels = followed(Repair(restorer.task, restorer.scales), findings_along(film), count)
    assert len(levels) == count
    change = levels[1:] / levels[:-1]
    assert change.max() <= 1 + MOST_CHANGE + 1e-9 and change.min() >= 1 / (1 + MOST_CHANGE) - 1e-9
    assert levels[:120].mean() == pytest.approx(sigma, rel=0.15)
    assert levels[-120:].mean() == pytest.approx(2 * sigma, rel=0.15)
    assert levels[count // 2] == pytest.approx(sigma * 2**0.5, rel=0.15)  # it rises before and after the cut


def test_every_frame_has_its_level_when_it_is_followed(tmp_path, capsys, tiny_model):
    film = make_noisier(tmp_path / "film.mkv", 48, 10)
    words = ["--follow", "--lossless", "--json"]
    assert denoise(film, tmp_path / "out.mkv", *words, model=tiny_model, level=None) == 0
    low, high = json.loads(capsys.readouterr().out)["levels"]["denoise"]
    assert 9 < low < high < 21
    assert high / low <= (1 + MOST_CHANGE) ** 47


def test_one_level_for_all_frames_is_the_median(tmp_path, capsys, tiny_model):
    film = make_noisier(tmp_path / "film.mkv", 48, 10)
    assert denoise(film, tmp_path / "out.mkv", "--json", model=tiny_model, level=None) == 0
    assert 9 < json.loads(capsys.readouterr().out)["levels"]["denoise"] < 21


# --- Stopped and begun again ------------------------------------------------------------------------


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(("codec", "suffix", "lossless"), [("ffv1", "mkv", True), ("libx264", "mp4", False)])
def test_a_stopped_film_goes_on_where_it_stopped(tmp_path, tiny_model, codec, suffix, lossless):
    """The result is the same as without a stop, for every segment in which it stops; little is done twice."""
    film = make_film(tmp_path / f"film.{suffix}", 20, codec=codec, base=Fraction(1, 24000))
    restorer = Restorer.load(tiny_model)
    whole, target = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    ask = {"segment": 6, "lossless": lossless}
    restore_film([restorer], [repair_at(restorer, 9.0)], film, whole, **ask)
    done = []

    def stop(number, left):
        done.append(number)
        if number and len(done) % 9 == 0:
            raise StoppedError

    for _ in range(10):
        try:
            restore_film([restorer], [repair_at(restorer, 9.0)], film, target, progress=stop, **ask)
            break
        except StoppedError:
            assert not target.exists()
    assert len(done) < 20 + 4 * 9
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    for (one, before), (other, after) in zip(frames_of(whole), frames_of(target), strict=True):
        assert one == other and same_planes(before, after)


def test_a_killed_command_goes_on(tmp_path):
    film = make_film(tmp_path / "film.mkv", 400, codec="libx264")
    target, work = tmp_path / "out.mkv", tmp_path / ".out.mkv.film"
    words = [sys.executable, "-m", "hyperrestore", "denoise", str(film), "-o", str(target), "-l", "5"]
    command = subprocess.Popen(words)
    limit = time.monotonic() + 300
    while not (work / "00000.json").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    first = (work / "00000.mkv").stat().st_mtime_ns
    assert not target.exists()
    command = subprocess.Popen(words)
    while command.poll() is None:
        if (work / "00001.json").exists():
            assert (work / "00000.mkv").stat().st_mtime_ns == first
            break
        time.sleep(0.01)
    assert command.wait() == 0
    assert not work.exists()
    assert read_film(target).times == read_film(film).times


def test_another_level_begins_again(tmp_path, tiny_model):
    film, target = make_film(tmp_path / "film.mkv", 12), tmp_path / "out.mkv"
    restorer = Restorer.load(tiny_model)

    def stop(number, left):
        if number == 8:
            raise StoppedError

    with pytest.raises(StoppedError):
        restore_film([restorer], [repair_at(restorer, 9.0)], film, target, segment=4, progress=stop)
    result = restore_film([restorer], [repair_at(restorer, 30.0)], film, target, segment=4)
    assert "was removed" in result.notes[0]
    restore_film([restorer], [repair_at(restorer, 30.0)], film, tmp_path / "whole.mkv", segment=4)
    pairs = zip(frames_of(target), frames_of(tmp_path / "whole.mkv"), strict=True)
    assert all(same_planes(one, other) for (_, one), (_, other) in pairs)


# --- What is refused --------------------------------------------------------------------------------


def refused(capsys, source, target, *words):
    """The exit code and the message; nothing is left."""
    before = sorted(Path(target).parent.iterdir())
    code = denoise(source, target, *words, level="5")
    (line,) = capsys.readouterr().err.splitlines()
    assert sorted(Path(target).parent.iterdir()) == before
    return code, line.removeprefix("hyperrestore: error: ")


def test_what_is_no_film_is_refused(tmp_path, capsys):
    text, empty, sound, none = (
        tmp_path / name for name in ("text.mkv", "empty.mkv", "sound.mkv", "none.mkv")
    )
    text.write_text("no film at all " * 100)
    empty.write_bytes(b"")
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    bare = tmp_path / "none.mp4"
    for path in (none, bare):
        with av.open(str(path), "w") as container:
            add_pictures(container, "mpeg4", "yuv420p")
            container.start_encoding()
    for film, reason in (
        (text, "cannot be read as a film"),
        (empty, "cannot be read as a film"),
        (sound, "has no moving pictures, only audio"),
        (none, "ends before its first frame"),
        (bare, ""),
        (tmp_path / "missing.mkv", "cannot be read as a film (No such file or directory)"),
    ):
        code, message = refused(capsys, film, tmp_path / "out.mkv")
        assert code == 1 and message.startswith(f"{film}: {reason}"), message


def test_a_damaged_film_is_refused_where_it_is_damaged(tmp_path, capsys, tiny_model):
    """The words are ours, with the place; nothing is left under the final name."""
    film = make_film(tmp_path / "film.mkv", 24)
    with av.open(str(film)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        data = bytearray(film.read_bytes())
        place = data.index(bytes(packets[15]))
        data[place : place + packets[15].size] = b"\xff" * packets[15].size
    film.write_bytes(data)
    target = tmp_path / "out.mkv"
    assert denoise(film, target, model=tiny_model, level="5") == 1
    said = capsys.readouterr().err
    found = re.search(rf"error: {film}: cannot be decoded after (0\.\d\d) s \(.+\); is it damaged\?\n", said)
    assert found and 0 < float(found[1]) <= 15 / 24, said
    assert not target.exists()


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "ffv1"), ("mp4", "libx264")])
def test_a_film_that_ends_too_soon_is_restored_so_far(tmp_path, capsys, tiny_model, suffix, codec):
    """And told, from what its header says of its duration."""
    film = tmp_path / f"film.{suffix}"
    base, fast = Fraction(1, 24), {"movflags": "faststart"} if suffix == "mp4" else {}
    with av.open(str(film), "w", container_options=fast) as container:
        stream = add_pictures(container, codec, "yuv420p", base=base, options={"g": "6"})
        encode(container, stream, scenes(96), range(96), base)
    assert denoise(film, tmp_path / "whole.mkv", "--lossless", model=tiny_model) == 0
    assert capsys.readouterr().err == ""
    with av.open(str(film)) as container:  # cut between two frames; a part of one is damage
        ends = [packet.pos + packet.size for packet in container.demux(video=0) if packet.size]
    film.write_bytes(film.read_bytes()[: max(end for end in ends if end <= film.stat().st_size // 2)])
    assert denoise(film, tmp_path / "out.mkv", "--lossless", model=tiny_model) == 0
    assert 5 < len(frames_of(tmp_path / "out.mkv")) == len(frames_of(film)) < 90
    said = capsys.readouterr().err
    assert re.search(
        r"film\.\w+: ends after \d\.\d\d s, and its header says 4\.0\d s; is the file complete\?", said
    )


def test_existing_files_are_kept(tmp_path, capsys, tiny_model):
    film = make_film(tmp_path / "film.mkv", 2)
    (tmp_path / "out.mkv").write_bytes(b"mine")
    code, message = refused(capsys, film, tmp_path / "out.mkv")
    assert code == 2 and "already exists; give --overwrite" in message
    assert denoise(film, tmp_path / "out.mkv", "--skip-existing", model=tiny_model) == 0
    assert (tmp_path / "out.mkv").read_bytes() == b"mine"
    assert denoise(film, film, "--overwrite", model=tiny_model) == 2
    assert "replaced by its own result" in capsys.readouterr().err
    assert denoise(film, tmp_path / "out.mkv", "--overwrite", model=tiny_model) == 0
    assert len(frames_of(tmp_path / "out.mkv")) == 2


def test_what_the_codecs_do_not_take_is_refused(tmp_path, capsys):
    odd = make_film(tmp_path / "odd.mkv", 2, size=(47, 63))
    code, message = refused(capsys, odd, tmp_path / "out.mkv")
    assert code == 2 and "needs even sides; give --lossless" in message
    deep = make_film(tmp_path / "deep.mkv", 2, format_name="yuv444p16le")
    code, message = refused(capsys, deep, tmp_path / "out.mkv")
    assert code == 1 and "pixel format yuv444p16le is not supported by libx265" in message
    clear = make_film(tmp_path / "alpha.mkv", 1, format_name="bgr0")
    with av.open(str(clear), "w") as container:
        stream = add_pictures(container, "ffv1", "yuva420p")
        frame = av.VideoFrame(64, 48, "yuva420p")
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    code, message = refused(capsys, clear, tmp_path / "out.mkv")
    assert code == 1 and "without transparency" in message


@pytest.mark.parametrize(
    ("size", "format_name", "reason"),
    [
        ((12, 40), "yuv420p10le", "libx265 does not take a result of 40 x 12 pixels; give --lossless and"),
        ((16, 16400), "yuv420p", "libx264 does not take a result of 16400 x 16 pixels"),
    ],
)
def test_a_size_that_the_encoder_does_not_take_is_told_before_the_work(
    tmp_path, capsys, size, format_name, reason
):
    film = make_film(tmp_path / "film.mkv", 1, format_name=format_name, size=size)
    code, message = refused(capsys, film, tmp_path / "out.mkv")
    assert code == 2 and reason in message and message.endswith("or give another size")


def test_a_level_that_the_model_does_not_accept_leaves_nothing(tmp_path, capsys, upscale_model):
    film = make_film(tmp_path / "film.mkv", 1)
    words = [
        "upscale",
        str(film),
        "-o",
        str(tmp_path / "out.mkv"),
        "--long-side",
        "600",
        "--model",
        str(upscale_model),
    ]
    assert main(words) == 2
    assert "scale 9.375 is not accepted" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["film.mkv"]


@pytest.mark.parametrize("format_name", ["yuv420p", "yuv410p"])
@pytest.mark.parametrize("size", [(47, 63), (5, 3), (3, 5), (1, 1), (64, 2), (7, 64)])
def test_odd_sizes_are_restored_without_a_loss(tmp_path, tiny_model, size, format_name):
    film = make_film(tmp_path / "odd.mkv", 2, codec="rawvideo", size=size, format_name=format_name)
    assert denoise(film, tmp_path / "out.mkv", "--lossless", model=tiny_model, level="0") == 0
    for (_, before), (_, after) in zip(frames_of(film), frames_of(tmp_path / "out.mkv"), strict=True):
        assert same_planes(before, after)


def test_a_stream_that_the_container_cannot_hold_is_told_before_the_work(tmp_path, capsys):
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        pictures = add_pictures(container, "libx264", "yuv420p", base=Fraction(1, 24))
        text = container.add_mux_stream("mov_text", time_base=SECOND)
        packet = av.Packet(b"\0\4line")
        packet.stream, packet.time_base, packet.pts, packet.dts, packet.duration = text, SECOND, 0, 0, 200
        container.mux(packet)
        encode(container, pictures, scenes(4), range(4), Fraction(1, 24))
    code, message = refused(capsys, film, tmp_path / "out.mkv")
    assert code == 1 and "(subtitle) cannot be copied into mkv" in message
    assert message.endswith("give an output that ends with .mp4")


def test_transparency_beside_the_pictures_is_refused(tmp_path, capsys):
    film = tmp_path / "film.webm"
    with av.open(str(film), "w") as container:
        stream = add_pictures(container, "libvpx-vp9", "yuv420p")
        stream.metadata["alpha_mode"] = "1"
        encode(container, stream, scenes(2), (0, 40))
    code, message = refused(capsys, film, tmp_path / "out.mkv")
    assert code == 1 and "has transparency, which would be lost; flatten it first" in message


def test_an_output_may_be_a_file_url_but_not_in_a_storage(tmp_path, capsys, tiny_model):
    film = make_film(tmp_path / "film.mkv", 2)
    assert denoise(film, f"file://{tmp_path}/out.mkv", model=tiny_model) == 0
    assert len(frames_of(tmp_path / "out.mkv")) == 2
    capsys.readouterr()
    for source, target in (("s3://bucket/film.mkv", tmp_path / "b.mkv"), (film, "s3://bucket/b.mkv")):
        assert denoise(source, target, model=tiny_model) == 2
        assert "s3://bucket/" in (said := capsys.readouterr().err) and "not in object storage" in said


def test_frames_that_the_decoder_passes_over_are_told(tmp_path, tiny_model, monkeypatch):
    film = make_film(tmp_path / "film.mkv", 8)
    decoded = hyperrestore.film.restore.frames_from
    monkeypatch.setattr(
        hyperrestore.film.restore,
        "frames_from",
        lambda film, start: (frame for frame in decoded(film, start) if frame.time != film.times[5]),
    )
    restorer = Restorer.load(tiny_model)
    done = restore_film([restorer], [repair_at(restorer, 5.0)], film, tmp_path / "out.mkv")
    assert done.notes == ("1 of 8 frames cannot be decoded, and are missing",)

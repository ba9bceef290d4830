"""One repair, however it is asked for: the same bytes, the same refusal, and a warning that is given once."""

import warnings
from functools import partial

import numpy as np
import pytest
from conftest import QUALITY, SCALE, SIGMA, SOFTNESS
from makers import curve, display_profile

from hyperrestore import (
    ExtrapolationWarning,
    LevelError,
    PictureInfo,
    Region,
    Restorer,
    UsageError,
    read_picture,
    restore_file,
    run_tiled,
)
from hyperrestore.cli.main import main
from hyperrestore.level import SHIPPED, Task
from hyperrestore.picture.file import Picture, write_picture
from hyperrestore.restore.file import repair_file
from hyperrestore.restore.in_memory import restore_part
from hyperrestore.restore.levels import Mask
from hyperrestore.restore.repair import Repair, Size, repair_at, repairs_of
from hyperrestore.restore.sheet import repairs_at, sweep
from hyperrestore.run.level_map import level_rows

HEIGHT, WIDTH = 40, 56
WHOLE = {
    "photo": Region(0, 0, WIDTH, HEIGHT),
    "denoise": Region(0, 0, WIDTH, HEIGHT),
    "dejpeg": Region(0, 0, WIDTH, HEIGHT),
    "upscale": Region(0, 0, 84, 60),
}
KINDS = {
    "8 bits.png": {},
    "16 bits.png": {"bits": 16},
    "grey.png": {"channels": 1},
    "hidden.png": {"hidden": True},
    "16 bits, hidden.tif": {"bits": 16, "hidden": True},
    "linear.tif": {"bits": 16, "linear": True},
    "linear, hidden.tif": {"bits": 16, "linear": True, "hidden": True},
}


@pytest.fixture(scope="module")
def models(photo_model, tiny_model, dejpeg_model, subpixel_model):
    return {
        "photo": photo_model,
        "denoise": tiny_model,
        "dejpeg": dejpeg_model,
        "upscale": subpixel_model,
    }


@pytest.fixture(scope="module")
def restorers(models):
    return {task: Restorer.load(path, precision="fp32") for task, path in models.items()}


def photo(path, *, channels=3, bits=8, hidden=False, linear=False, height=HEIGHT, width=WIDTH):
    pixels = np.random.default_rng(0).random((channels, height, width), np.float32)
    alpha = np.ones((1, height, width), np.float32) if hidden else None
    if hidden:
        alpha[:, 10:25, 8:30] = 0
    icc = display_profile(curve()) if linear else None
    write_picture(
        path, Picture(pixels, alpha, PictureInfo(width, height, channels, bits, hidden, icc_profile=icc))
    )
    return path


def samples(path):
    """The colours of a file as it stores them."""
    picture = read_picture(path)
    return np.rint(picture.pixels * (2**picture.info.bits - 1))


# --- The same bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("task", "level", "grain"),
    [("denoise", 30, 0.0), ("denoise", 30, 0.4), ("dejpeg", 40, 0.0), ("upscale", 1.5, 0.0)],
)
def test_every_way_gives_the_same_samples(tmp_path, models, restorers, kind, task, level, grain):
    source = photo(tmp_path / kind, **KINDS[kind])
    restorer, most = restorers[task], 2 ** KINDS[kind].get("bits", 8) - 1
    restore_file(restorer, source, tmp_path / f"file-{kind}", level, grain=grain)
    expected = samples(tmp_path / f"file-{kind}")

    in_memory = restorer(read_picture(source), level, grain=grain)
    np.testing.assert_array_equal(np.rint(in_memory.pixels * most), expected)
    region = restorer.region(read_picture(source), level, WHOLE[task], grain=grain)
    np.testing.assert_array_equal(region, in_memory.pixels)

    option = {"upscale": "-s"}.get(task, "-l")
    words = [task, str(source), "-o", str(tmp_path / f"words-{kind}"), option, str(level)]
    words += [
        "--model",
        str(models[task]),
        "--precision",
        "fp32",
        *(["--grain", str(grain)] if grain else []),
    ]
    assert main(words) == 0
    assert (tmp_path / f"words-{kind}").read_bytes() == (tmp_path / f"file-{kind}").read_bytes()

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / kind).write_bytes(source.read_bytes())
    assert main([task, "-r", str(tmp_path / "in"), "-o", str(tmp_path / "folder"), *words[4:]]) == 0
    np.testing.assert_array_equal(samples(tmp_path / "folder" / kind), expected)

    np.testing.assert_array_equal(
        on_the_page(source, restorer, repair_at(restorer, level, grain=grain)), expected
    )


def on_the_page(source, restorer, repair):
    pytest.importorskip("starlette")
    from hyperrestore.web.photos import LevelMap, keep_photo

    (source.parent / "page").mkdir()
    own = source.parent / "page" / "photo"
    own.write_bytes(source.read_bytes())
    kept = keep_photo(own, identity="x", name=source.name, max_pixels=2**20)
    level_map = None
    if isinstance(repair.level_map, Mask):
        level_map = LevelMap(repair.level_map.path)
        level_map.add_reduced(1, WIDTH, HEIGHT)
    return kept.restored(restorer, repair, WHOLE[restorer.task], 1, level_map=level_map)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("task", "ends"), [("denoise", (0, 40)), ("dejpeg", (90, 20))])
def test_a_mask_gives_the_same_samples_as_its_levels(tmp_path, models, restorers, kind, task, ends):
    source = photo(tmp_path / kind, **KINDS[kind])
    restorer, most = restorers[task], 2 ** KINDS[kind].get("bits", 8) - 1
    grey = np.broadcast_to(np.linspace(0, 1, WIDTH, dtype=np.float32), (1, HEIGHT, WIDTH))
    mask = tmp_path / "mask.png"
    write_picture(mask, Picture(np.array(grey), None, PictureInfo(WIDTH, HEIGHT, 1)))
    restore_file(restorer, source, tmp_path / f"file-{kind}", ends, level_map=mask)
    expected = samples(tmp_path / f"file-{kind}")

    black, white = ends
    levels = level_rows(mask, height=HEIGHT, width=WIDTH, black=black, white=white)(0, HEIGHT)[0]
    np.testing.assert_array_equal(np.rint(restorer(read_picture(source), levels).pixels * most), expected)
    words = [task, str(source), "-o", str(tmp_path / f"words-{kind}"), "-l", f"{ends[0]}:{ends[1]}"]
    words += ["--level-map", str(mask), "--model", str(models[task]), "--precision", "fp32"]
    assert main(words) == 0
    assert (tmp_path / f"words-{kind}").read_bytes() == (tmp_path / f"file-{kind}").read_bytes()
    (repair,) = repairs_of([restorer], ends, level_map=mask)
    np.testing.assert_array_equal(on_the_page(source, restorer, repair), expected)
    whole = restore_part(restorer, repair, read_picture(source), WHOLE[task])
    np.testing.assert_array_equal(np.rint(whole * most), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_gives_the_same_samples_of_a_photo(tmp_path, restorers, kind):
    grain = 0.4
    source = photo(tmp_path / kind, **KINDS[kind])
    restorer, most = restorers["photo"], 2 ** KINDS[kind].get("bits", 8) - 1
    level = {"noise": 12, "colour noise": 30, "quality": 40}
    restore_file(restorer, source, tmp_path / f"file-{kind}", level, grain=grain)
    expected = samples(tmp_path / f"file-{kind}")

    in_memory = restorer(read_picture(source), level, grain=grain)
    np.testing.assert_array_equal(np.rint(in_memory.pixels * most), expected)
    region = restorer.region(read_picture(source), level, WHOLE["photo"], grain=grain)
    np.testing.assert_array_equal(region, in_memory.pixels)
    (repair,) = repairs_of([restorer], level, grain=grain)
    np.testing.assert_array_equal(on_the_page(source, restorer, repair), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_sets_every_level_of_a_photo(tmp_path, restorers, kind):
    source = photo(tmp_path / kind, **KINDS[kind])
    restorer, most = restorers["photo"], 2 ** KINDS[kind].get("bits", 8) - 1
    grey = np.broadcast_to(np.linspace(0, 1, WIDTH, dtype=np.float32), (1, HEIGHT, WIDTH))
    mask = tmp_path / "mask.png"
    write_picture(mask, Picture(np.array(grey), None, PictureInfo(WIDTH, HEIGHT, 1)))
    black = {"noise": 0, "colour noise": 5, "quality": 100}
    white = {"noise": 20, "colour noise": 40, "quality": 30}
    repair = Repair(restorer.task, restorer.scales, level_map=Mask(mask, black, white))
    repair_file([restorer], [repair], source, tmp_path / f"file-{kind}")
    expected = samples(tmp_path / f"file-{kind}")

    ends = tuple(black.values()), tuple(white.values())
    levels = level_rows(mask, height=HEIGHT, width=WIDTH, black=ends[0], white=ends[1])(0, HEIGHT)
    np.testing.assert_array_equal(np.rint(restorer(read_picture(source), levels).pixels * most), expected)
    np.testing.assert_array_equal(on_the_page(source, restorer, repair), expected)


def test_a_level_beside_a_map_of_integers_need_not_be_one(restorers):
    restorer, picture = restorers["photo"], np.random.default_rng(0).random((3, 40, 56), np.float32)
    whole = np.full((40, 56), 12, np.uint8)
    repair = Repair(restorer.task, restorer.scales, {"quality": 40.5}, whole)
    expected = restorer(picture, np.stack([whole, 0 * whole, np.full((40, 56), 40.5)]))
    np.testing.assert_array_equal(restore_part(restorer, repair, picture, WHOLE["photo"]), expected)


@pytest.mark.parametrize("nothing", [{}, None])
def test_a_mask_without_levels_is_refused(nothing, restorers):
    mask = Mask("mask.png", nothing, nothing)
    with pytest.raises(UsageError, match="give them in noise, colour noise, quality"):
        Repair(restorers["photo"].task, restorers["photo"].scales, level_map=mask)


def test_a_map_says_what_shape_it_should_have(restorers):
    restorer, picture = restorers["photo"], np.random.default_rng(0).random((3, 40, 56), np.float32)
    for shape, right in (((30, 56), r"numbers \(40, 56\)"), ((3, 30, 56), r"numbers \(3, 40, 56\)")):
        with pytest.raises(UsageError, match=right):
            restorer(picture, np.full(shape, 50))
    with pytest.raises(UsageError, match="hold no picture: this network takes 3 levels"):
        run_tiled(restorer.mapped(), picture)


def test_a_map_of_one_level_leaves_the_others_at_their_origin(restorers):
    restorer, picture = restorers["photo"], np.random.default_rng(0).random((3, 40, 56), np.float32)
    noise = np.full((40, 56), 12.0, np.float32)
    np.testing.assert_allclose(restorer(picture, noise), restorer(picture, 12), atol=2e-4)
    noise[:, :20] = 0
    assert np.array_equal(restorer(picture, noise)[..., :20], picture[..., :20]), "nothing to repair there"


def test_grain_of_a_photo_is_its_noise_and_no_damage_of_jpeg(restorers):
    restorer = restorers["photo"]
    picture = 0.4 + 0.2 * np.random.default_rng(0).random((3, 40, 56), np.float32)
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    level = {"noise": 5, "colour noise": 8, "quality": 90}
    for given in (level, level | {"quality": 100}):
        clean = restorer.at(given)(picture)
        noisy = restorer.at(given | {"noise": 0, "colour noise": 0})(picture)
        expected = (clean + 0.3 * (weights * (noisy - clean)).sum(axis=0)).clip(0, 1)
        np.testing.assert_allclose(restorer(picture, given, grain=0.3), expected, rtol=0, atol=1e-5)
        levels = np.stack([np.full((40, 56), value, np.float32) for value in given.values()])
        np.testing.assert_allclose(restorer(picture, levels, grain=0.3), expected, rtol=0, atol=5e-4)
    saved = {"noise": 0, "quality": 40}
    np.testing.assert_array_equal(restorer(picture, saved, grain=1), restorer(picture, saved))


def test_a_photo_without_damage_stays_as_it_is(restorers):
    picture = np.random.default_rng(0).random((3, 40, 56), np.float32)
    assert np.array_equal(restorers["photo"](picture, 0), picture)
    assert not np.array_equal(restorers["photo"](picture, {"noise": 0, "quality": 90}), picture)


def test_a_panel_of_a_sheet_is_that_part_of_the_file(tmp_path, restorers):
    source, restorer = photo(tmp_path / "hidden.png", hidden=True), restorers["denoise"]
    restore_file(restorer, source, tmp_path / "out.png", 30)
    sheet = sweep(restorer, read_picture(source), repairs_at(restorer, [30]), region=WHOLE["denoise"])
    panel = read_picture(tmp_path / "out.png").pixels
    shown = sheet.pixels
    places = [
        (top, left)
        for top in range(shown.shape[1] - HEIGHT + 1)
        for left in range(shown.shape[2] - WIDTH + 1)
        if np.abs(shown[:, top, left] - panel[:, 0, 0]).max() < 0.6 / 255
        and np.abs(shown[:, top : top + HEIGHT, left : left + WIDTH] - panel).max() < 0.6 / 255
    ]
    assert len(places) == 1


# --- The same refusal -------------------------------------------------------------------------------

ABOVE = (
    "sigma 101.0 is not accepted: this model takes a number from 0 to 100, outside of 0 to 75 with a warning"
)
REFUSED = {
    "a level": ("denoise", {"level": 101}, LevelError, ABOVE),
    "a scale": ("upscale", {"level": 7}, LevelError, "scale 7.0 is not accepted: this model takes"),
    "softness": ("upscale", {"level": 2, "softness": 9.0}, LevelError, "softness 9.0 is not accepted"),
    "grain of JPEG": (
        "dejpeg", {"level": 40, "grain": 0.5}, UsageError,
        "grain puts noise back, and dejpeg removes none; leave it out, or denoise",
    ),
    "grain of upscaling": (
        "upscale", {"level": 2, "grain": 0.5}, UsageError,
        "grain puts noise back, and upscale removes none; leave it out, or denoise",
    ),
    "a map for upscaling": (
        "upscale", {"map": (1, 2)}, UsageError,
        "a map of levels is not for upscaling: its level is the size of the result",
    ),
    "a level of a map": ("denoise", {"map": (5, 999)}, LevelError, "sigma 999.0 is not accepted"),
    "a size": (
        "denoise", {"level": 5, "to_width": 300}, UsageError,
        "denoise keeps the size of a picture; use task upscale to change it",
    ),
    "a size that is smaller": (
        "upscale", {"to_width": 20}, LevelError, f"size 20 is not accepted for {WIDTH} x {HEIGHT} pixels",
    ),
    "no size": ("upscale", {}, UsageError, "give one of scale, width, height and long side; got 0 of them"),
    "two sizes": (
        "upscale", {"level": 2, "to_width": 300}, UsageError,
        "give one of scale, width, height and long side; got 2 of them",
    ),
}  # fmt: skip


# The command has no such option, or takes only one of two: its parser says so.
HAS_NO_WORDS = (
    "grain of JPEG",
    "grain of upscaling",
    "a map for upscaling",
    "a size",
    "no size",
    "two sizes",
)


@pytest.fixture(scope="module")
def client(models, tmp_path_factory):
    pytest.importorskip("starlette")
    from serving import page_at, running

    paths = {task: models[task] for task in SHIPPED}
    with running(tmp_path_factory.mktemp("page"), paths) as (address, _), page_at(address) as client:
        yield client


@pytest.mark.parametrize("name", REFUSED)
def test_every_way_refuses_in_the_same_words(tmp_path, models, restorers, client, capsys, name):
    task, asked, error, said = REFUSED[name]
    restorer, source = restorers[task], photo(tmp_path / "a.png")
    mask = photo(tmp_path / "mask.png", channels=1)
    for way in (by_file, in_memory):
        if (call := way(restorer, source, mask, **asked)) is not None:
            with pytest.raises(error) as caught:
                call()
            assert said in str(caught.value)
    assert main(on_the_command_line(task, models[task], source, mask, **asked)) == 2
    assert name in HAS_NO_WORDS or said in capsys.readouterr().err
    for answer in answers(client, task, source, mask, **asked):
        assert answer.status_code == 422
        assert said in answer.json()["error"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "mask.png"]


def by_file(restorer, source, mask, *, level=None, map=None, **more):
    number = None if level is None else float(level)
    given = {"level_map": mask} if map else {}
    ends = map and tuple(float(end) for end in map)
    return partial(
        restore_file, restorer, source, source.with_name("no.png"), ends or number, **given, **more
    )


def in_memory(restorer, source, mask, *, level=None, map=None, softness=None, grain=0.0, to_width=None):
    if to_width is not None or (level is None and map is None):
        return None  # there is no such parameter
    asked = float(level) if level is not None else np.linspace(*map, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    if softness is not None:
        asked = {"scale": asked, "softness": float(softness)}
    return partial(restorer, read_picture(source), asked, grain=grain)


def on_the_command_line(
    task, model, source, mask, *, level=None, map=None, softness=None, grain=0.0, to_width=None
):
    words = [task, source, "-o", source.with_name("no.png"), "--model", model]
    words += [] if level is None else ["-s" if task == "upscale" else "-l", level]
    words += [] if map is None else ["-l", f"{map[0]}:{map[1]}", "--level-map", mask]
    words += [] if softness is None else ["--softness", softness]
    words += [] if to_width is None else ["--width", to_width]
    words += ["--grain", grain] if grain else []
    return [str(word) for word in words]


def answers(client, task, source, mask, *, level=None, map=None, **more):
    """Those of the page to a region and to a job."""
    given = client.post("/api/photos", content=source.read_bytes(), headers={"X-File-Name": "a.png"}).json()
    asked = {"task": task, **more} | ({} if level is None else {"level": float(level)})
    if map is not None:
        put = client.put(f"/api/photos/{given['id']}/map", content=mask.read_bytes()).json()
        asked |= {"map": put["map"], "map_level": float(map[0]), "level": float(map[1])}
    region = {"left": 0, "top": 0, "width": 8, "height": 8}
    yield client.get(f"/api/photos/{given['id']}/region", params={**region, **asked})
    yield client.post(f"/api/photos/{given['id']}/jobs", json=asked)


@pytest.mark.parametrize(
    ("task", "asked", "said"),
    [
        (Task.DENOISE, {"level": 5, "grain": "all"}, "grain 'all' is not accepted"),
        (Task.DENOISE, {"level": 5, "grain": float("nan")}, "grain nan is not accepted"),
        (Task.DENOISE, {"level": {"sigma": 5, "softness": 1}}, "no level 'softness'; it takes sigma"),
        (Task.DENOISE, {"level": 5, "level_map": np.ones((3, 4))}, "a map are two levels"),
        (Task.DENOISE, {"level_map": np.ones(3)}, "levels of shape"),
        (Task.DENOISE, {"level_map": np.full((3, 4), "x")}, "levels of shape"),
        (Task.DENOISE, {"level_map": Mask(None, 0, -1)}, "sigma -1 is not accepted"),
        (Task.DEJPEG, {"size": Size(long_side=9)}, "dejpeg keeps the size"),
        (Task.UPSCALE, {"level": {"scale": None}}, "scale None is not accepted"),
        (Task.UPSCALE, {"size": Size(30, 40)}, "got 2 of them"),
        (Task.UPSCALE, {"level": {"softness": 1}}, "got 0 of them"),
        (Task.UPSCALE, {"level": {"scale": 2, "softness": -1}}, "softness -1 is not accepted"),
    ],
)
def test_a_repair_checks_itself(task, asked, said):
    scales = {Task.DENOISE: (SIGMA,), Task.DEJPEG: (QUALITY,), Task.UPSCALE: (SCALE, SOFTNESS)}[task]
    with pytest.raises(UsageError) as caught:
        Repair(task, scales, **asked)
    assert said in str(caught.value)


def test_no_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"a\.png: no model was given; give one"):
        restore_file([], photo(tmp_path / "a.png"), tmp_path / "no.png", None)


def test_grain_of_several_models_is_for_those_that_take_noise_out(restorers):
    repairs = repairs_of([restorers["denoise"], restorers["dejpeg"]], None, grain=0.3)
    assert [repair.grain for repair in repairs] == [0.3, 0.0]
    with pytest.raises(UsageError, match="dejpeg removes none"):
        repairs_of([restorers["dejpeg"]], None, grain=0.3)


# --- A warning that is given once -------------------------------------------------------------------


@pytest.mark.parametrize(("task", "level"), [("denoise", 90), ("dejpeg", 3), ("upscale", 5)])
def test_a_warning_is_given_once(tmp_path, models, restorers, capsys, task, level):
    restorer, source = restorers[task], photo(tmp_path / "0.png")
    others = [photo(tmp_path / f"{number}.png") for number in (1, 2)]
    picture = read_picture(source)
    for call in (
        lambda: restorer(picture, level),
        lambda: restorer.region(picture, level, Region(3, 4, 20, 30)),
        lambda: restore_file(restorer, source, tmp_path / "out.png", level),
    ):
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always")
            call()
        assert [one.category for one in given] == [ExtrapolationWarning]
    option = "-s" if task == "upscale" else "-l"
    words = [task, *map(str, (source, *others)), "-o", str(tmp_path / "out/"), "--model", str(models[task])]
    assert main([*words, option, str(level)]) == 0
    assert capsys.readouterr().err.count("warning: ") == 1
    if task != "upscale":
        assert main([*words, "--sweep", f"50,{level}", "--overwrite"]) == 0
        assert capsys.readouterr().err.count("warning: ") == 1

"""The second dial: how soft a photo is, for models that have this level, here tiny ones without training."""

import zipfile

import pytest
from serving import running

from hyperrestore.level import Task
from web.conftest import assert_same, decibels, middle, pixels_of, run

pytestmark = [
    pytest.mark.web,
    pytest.mark.filterwarnings("ignore::hyperrestore.ExtrapolationWarning"),  # as `serve` does
]

SLIDER = ".axis.softness input[type=range]"


@pytest.fixture(scope="module")
def address(photo_model, tiny_model, dejpeg_model, subpixel_model, tmp_path_factory):
    """Where a server with these models answers, instead of `hyperrestore web` with those that ship."""
    pytest.importorskip("uvicorn", reason="the page needs the extra [web]")
    models = {
        Task.PHOTO: photo_model,
        Task.DENOISE: tiny_model,
        Task.DEJPEG: dejpeg_model,
        Task.UPSCALE: subpixel_model,
    }
    with running(tmp_path_factory.mktemp("soft"), models) as (address, _):
        yield address


@pytest.fixture
def slider(screen, clean):
    """The slider, with a photo of 300 x 200 to be enlarged twice."""
    screen.denoise(clean[".png"])
    screen.page.locator(SLIDER).wait_for(state="detached")  # denoising has one dial
    screen.press("Upscale")
    screen.type_level(2)
    return screen.page.get_by_role("slider", name="Softness of the photo")


def turn(screen, softness, *, release=True):
    """Turn it as a drag does."""
    screen.page.eval_on_selector(
        SLIDER,
        """(slider, [share, release]) => {
            slider.value = share * slider.max;
            slider.dispatchEvent(new Event('input', { bubbles: true }));
            if (release) slider.dispatchEvent(new Event('change', { bubbles: true }));
        }""",
        [softness / 2, release],
    )
    screen.rest()


def number(screen):
    screen.rest()
    return float(screen.page.get_by_role("textbox", name="Softness").input_value())


@pytest.fixture(scope="module")
def enlarged(clean, folder, subpixel_model):
    """The command line's result, twice as large."""

    def enlarge(softness):
        target = folder / f"soft-{softness}.png"
        words = ("-s", 2, "--softness", softness, "--model", subpixel_model, "--overwrite")
        run("upscale", clean[".png"], "-o", target, *words)
        return target

    return enlarge


def test_softness_is_live_and_then_exact(screen, slider, enlarged):
    assert number(screen) == 1
    screen.settle(warm=True)
    usual = screen.pixels()
    assert_same(middle(usual, (400, 600)), pixels_of(enlarged(1)))
    turn(screen, 1.8, release=False)
    assert screen.state()["kind"] == "preview"
    assert number(screen) == 1.8
    preview = screen.pixels()
    turn(screen, 1.8)
    screen.settle()
    exact = screen.pixels()
    assert_same(middle(exact, (400, 600)), pixels_of(enlarged(1.8)))
    assert decibels(preview, exact) > decibels(usual, exact) + 6, "a blend, and not the view before"


def test_softness_is_said_saved_and_undone(screen, slider, enlarged):
    turn(screen, 1.5)
    screen.settle()
    assert screen.spoken() == "scale 2\N{MULTIPLICATION SIGN}, softness 1.5, exact"
    screen.press("Save")
    assert "scale 2\N{MULTIPLICATION SIGN}, softness 1.5" in screen.page.inner_text(".panel")
    screen.press("Restore the whole photo")
    download = screen.download()
    assert download.suggested_filename == "cup-upscale-2-softness-1.5.png"
    assert download.path().read_bytes() == enlarged(1.5).read_bytes()
    turn(screen, 1)
    screen.settle()
    screen.press("Restore the whole photo")
    download = screen.download("Download, scale 2\N{MULTIPLICATION SIGN}", exact=True)
    assert download.suggested_filename == "cup-upscale-2.png"
    screen.press("Undo")
    assert number(screen) == 1.5


def test_each_task_and_photo_keeps_its_softness(screen, slider, compressed):
    turn(screen, 0.5)
    screen.press("Denoise")
    screen.page.locator(SLIDER).wait_for(state="detached")
    screen.press("Upscale")
    assert number(screen) == 0.5
    screen.page.set_input_files("input[type=file]", [compressed])
    screen.page.get_by_role("button", name="astronaut.jpg", exact=True).wait_for()
    screen.page.locator(SLIDER).wait_for(state="detached")
    screen.press("Upscale")
    assert number(screen) == 1
    screen.press("cup.png")
    assert number(screen) == 0.5


def test_softness_of_all_photos_is_saved_with_all(screen, slider, enlarged, compressed):
    turn(screen, 1.5)
    screen.page.set_input_files("input[type=file]", [compressed])
    screen.page.locator(SLIDER).wait_for(state="detached")
    screen.press("cup.png")
    screen.press("Save")
    screen.press("Save all 2 photos")
    download = screen.download("Download 2 photos")
    with zipfile.ZipFile(download.path()) as archive:
        assert archive.read("cup-upscale-2-softness-1.5.png") == enlarged(1.5).read_bytes()


def test_softness_is_turned_by_keys_and_typed(screen, slider):
    slider.focus()
    steps = {"ArrowRight": 1.05, "PageUp": 1.55, "End": 2, "ArrowLeft": 1.95, "Home": 0, "ArrowUp": 0.05}
    for key, softness in steps.items():
        slider.press(key)
        assert number(screen) == softness
    assert slider.get_attribute("aria-valuetext") == "softness 0.05"
    described = screen.page.locator("#" + slider.get_attribute("aria-describedby")).inner_text()
    assert described == "how soft the small picture is; more makes the result sharper"
    screen.settle()
    screen.page.eval_on_selector(
        SLIDER,
        """slider => {
            for (const key of ['End', 'ArrowLeft'])
                slider.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
        }""",
    )
    screen.settle()
    assert number(screen) == 1.95
    screen.press("Undo")  # keys that follow each other at once are one choice
    assert number(screen) == 0.05
    box = screen.page.get_by_role("textbox", name="Softness")
    box.fill("2.5")
    box.press("Enter")
    screen.settle()
    assert "the model was trained for 0 to 2" in screen.page.inner_text(".axis.softness")
    for wrong in ("3.1", "-1", "soft", ""):
        box.fill(wrong)
        box.press("Enter")
        message = box.evaluate("box => box.validationMessage")
        assert message == "Softness takes a number from 0 to 3."
    box.press("Tab")
    assert number(screen) == 2.5


def test_the_loupe_and_the_filmstrip_show_the_softness(screen, slider):
    screen.settle(warm=True)

    def pictures():
        screen.page.wait_for_selector(".stage[data-idle]")
        return screen.page.eval_on_selector_all(
            ".filmstrip canvas, .loupe canvas", "all => all.map((canvas) => canvas.toDataURL())"
        )

    screen.press("Loupe")
    screen.page.wait_for_selector('.loupe canvas[data-kind="exact"]')
    before = pictures()
    turn(screen, 2)
    screen.settle(warm=True)
    screen.page.wait_for_selector('.loupe canvas[data-kind="exact"]')
    after = pictures()
    assert len(before) == len(after) > 5
    assert not set(before) & set(after)


@pytest.mark.parametrize("width", [360, 1280])
def test_it_has_room(open_page, clean, width):
    screen = open_page(width=width, height=740, has_touch=width == 360)
    screen.add(clean[".png"])
    screen.press("Upscale")
    screen.page.locator(SLIDER).wait_for()
    boxes = [screen.page.locator(name).bounding_box() for name in (".axis.softness", SLIDER, ".stage")]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert boxes[1]["width"] > 120
    assert boxes[2]["height"] > 200
    assert screen.page.evaluate("document.documentElement.scrollWidth") <= width

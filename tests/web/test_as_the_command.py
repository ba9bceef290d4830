"""The page and the command line say and save the same: where nothing is found, and of sizes."""

import pytest
from PIL import Image

from web.conftest import assert_same, middle, pixels_of, run

pytestmark = pytest.mark.web


# --- Nothing is found -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_where_nothing_is_found_the_photo_is_left_as_it_is(screen, clean, folder, suffix):
    photo = clean[suffix]
    screen.add(photo)
    screen.settle(kind="untouched")
    assert "nothing found, left as it is" in screen.page.inner_text(".chip")
    assert screen.spoken() == "nothing found, left as it is"
    assert "exact" not in screen.page.inner_text(".chip")
    assert screen.page.input_value("input.number") == ""
    assert "Nothing found to repair" in screen.page.inner_text(".findings")
    expected = pixels_of(photo)
    assert_same(middle(screen.pixels(), expected.shape[:2]), expected)
    screen.press("Save")
    screen.press("Copy the photo")
    saved = screen.download("left as it is").path().read_bytes()
    assert "copied byte for byte" in screen.page.inner_text(".panel")
    for task in ("restore", "denoise"):
        run(task, photo, "-o", folder / f"{task}{suffix}", "--overwrite")
        assert saved == (folder / f"{task}{suffix}").read_bytes() == photo.read_bytes()


def test_another_format_of_what_is_left_as_it_is_is_what_the_command_writes(screen, clean, folder):
    screen.add(clean[".jpg"])
    screen.settle(kind="untouched")
    screen.press("JPEG repair")
    screen.settle(kind="untouched")
    screen.press("Save")
    screen.page.select_option(".panel select", "webp")
    screen.page.get_by_role("spinbutton", name="Quality").fill("70")
    screen.press("Copy the photo")
    run("dejpeg", clean[".jpg"], "-o", folder / "cup.webp", "-q", 70)
    assert screen.download().path().read_bytes() == (folder / "cup.webp").read_bytes()


def test_what_is_left_as_it_is_can_be_repaired_all_the_same_and_left_again(screen, clean):
    screen.add(clean[".png"])
    screen.settle(kind="untouched")
    leave = screen.page.get_by_role("button", name="left as it is")
    assert leave.get_attribute("aria-pressed") == "true"
    screen.turn(0.5, release=False)
    assert screen.state()["kind"] == "preview"
    screen.release()
    screen.settle()
    level = screen.level()
    assert level > 0
    leave.click()
    screen.settle(kind="untouched")
    screen.press("Undo")
    screen.settle()
    assert screen.level() == level
    leave.click()
    screen.press("Brush")  # what is painted needs a level
    screen.press("All")
    screen.settle()
    assert screen.level() == 5


def test_a_photo_with_noise_and_no_traces_of_jpeg_is_not_repaired_from_them(screen, noisy):
    screen.add(noisy)
    screen.settle()
    assert screen.further("JPEG quality") == 100
    screen.press("JPEG repair")
    screen.settle(kind="untouched")
    screen.press("noise about")
    screen.settle()
    assert screen.page.get_by_role("button", name="Denoise").get_attribute("aria-pressed") == "true"


# --- Sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "pixels", "option", "size"),
    [
        ("Width", 777, "--width", (777, 517)),
        ("Height", 431, "--height", (648, 431)),
        ("Long side", 500, "--long-side", (500, 333)),
    ],
)
def test_a_size_gives_what_the_command_gives(screen, noisy, folder, side, pixels, option, size):
    screen.add(noisy)
    screen.press("Upscale")
    screen.page.get_by_label("Side of the result").select_option(side)
    field = screen.page.get_by_label(f"{side} of the result, pixels")
    field.fill(str(pixels))
    field.press("Enter")
    screen.settle()
    shown = "{} \N{MULTIPLICATION SIGN} {}".format(*size)
    for place in (".size output", ".chip"):
        assert shown in screen.page.inner_text(place)
    target = folder / f"sized{option}.png"
    run("upscale", noisy, "-o", target, option, pixels, "--overwrite")
    expected = pixels_of(target)
    assert expected.shape[1::-1] == size
    if expected.shape[0] < screen.pixels().shape[0]:  # wholly seen at 100 %
        assert_same(middle(screen.pixels(), expected.shape[:2]), expected)
    screen.press("Save")
    assert shown in screen.page.inner_text(".panel")
    screen.press("Restore the whole photo")
    download = screen.download()
    assert download.suggested_filename == "cat-upscale-{}x{}.png".format(*size)
    assert download.path().read_bytes() == target.read_bytes()


def test_the_scale_and_the_size_tell_of_each_other(screen, clean):
    screen.add(clean[".png"])
    screen.press("Upscale")
    screen.type_level(2.5)
    field = screen.page.get_by_label("Width of the result, pixels")
    assert field.input_value() == "750"
    field.fill("600")
    field.press("Enter")
    assert screen.level() == 2
    screen.turn(1, release=False)
    assert field.input_value() == "1200"
    screen.release()
    screen.page.get_by_label("Side of the result").select_option("Height")
    assert screen.page.get_by_label("Height of the result, pixels").input_value() == "800"
    for _ in range(2):
        screen.press("Undo")
    assert screen.level() == 2.5


@pytest.mark.parametrize("wrong", ["299", "1801", "400.5", "abc", ""])
def test_a_size_that_cannot_be_is_refused_where_it_was_typed(screen, clean, wrong):
    screen.add(clean[".png"])
    screen.press("Upscale")
    field = screen.page.get_by_label("Width of the result, pixels")
    field.fill(wrong)
    field.press("Enter")
    message = field.evaluate("field => field.validationMessage")
    assert message == "Width takes a whole number from 300 to 1800."
    field.press("Tab")
    assert field.input_value() == "600"
    assert screen.level() == 2


def test_photos_of_any_shape_are_sized(screen, folder):
    Image.new("RGB", (31, 97), (90, 120, 60)).save(folder / "narrow.png")
    screen.add(folder / "narrow.png")
    screen.press("Upscale")
    screen.page.get_by_label("Side of the result").select_option("Long side")
    field = screen.page.get_by_label("Long side of the result, pixels")
    field.fill("150")
    field.press("Enter")
    screen.settle()
    run("upscale", folder / "narrow.png", "-o", folder / "narrow-150.png", "--long-side", 150)
    with Image.open(folder / "narrow-150.png") as result:
        width, height = result.size
    assert f"{width} \N{MULTIPLICATION SIGN} {height}" in screen.page.inner_text(".size output")

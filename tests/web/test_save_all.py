"""Several photos saved at once: each as by itself, in one ZIP."""

import zipfile

import pytest
from PIL import Image

from web.conftest import QUALITY, run

pytestmark = pytest.mark.web


def test_all_photos_are_saved_as_they_were_chosen(screen, noisy, compressed, clean, by_command):
    screen.add(noisy, compressed, clean[".jpg"], clean[".jpg"])
    screen.press("cat.png")
    screen.type_level(25)
    screen.page.wait_for_function("() => document.querySelectorAll('.strip canvas').length === 4")
    screen.press("Save")
    screen.press("Save all 4 photos")
    download = screen.download("Download 4 photos")
    assert download.suggested_filename == "restored.zip"
    with zipfile.ZipFile(download.path()) as archive:
        assert archive.testzip() is None
        made = {name: archive.read(name) for name in archive.namelist()}
    assert made == {
        "cat-photo-25.png": by_command("restore", noisy, 25).read_bytes(),
        f"astronaut-photo-0-quality-{QUALITY}.jpg": by_command(
            "restore", compressed, "auto", ".jpg"
        ).read_bytes(),
        "cup-photo.jpg": clean[".jpg"].read_bytes(),
        "cup-photo-2.jpg": clean[".jpg"].read_bytes(),
    }
    screen.page.get_by_text("Notes on").click()
    assert screen.page.inner_text(".all").count("copied byte for byte") == 2
    assert "changed since" not in screen.page.inner_text(".all")
    screen.type_level(30)
    assert "1 changed since" in screen.page.inner_text(".all")


def test_format_and_quality_hold_for_all_that_take_them(screen, compressed, clean, folder):
    screen.add(clean[".png"], compressed)
    screen.press("Save")
    screen.page.get_by_role("spinbutton", name="Quality").fill("60")  # PNG takes none
    screen.press("Save all 2 photos")
    with zipfile.ZipFile(screen.download("Download 2 photos").path()) as archive:
        run("restore", compressed, "-o", folder / "at60.jpg", "-q", 60, "--colour-noise", "auto")
        assert archive.read(f"astronaut-photo-0-quality-{QUALITY}.jpg") == (folder / "at60.jpg").read_bytes()
        assert archive.read("cup-photo.png") == clean[".png"].read_bytes()


def test_a_photo_that_fails_is_named_and_the_others_are_saved(open_page, noisy, clean, folder):
    broken = folder / "broken.png"
    broken.write_bytes(noisy.read_bytes()[:200])
    screen = open_page(expect_failures=True)
    screen.page.set_input_files("input[type=file]", [clean[".png"], broken, clean[".jpg"]])
    screen.press("cup.jpg")
    screen.settle(kind="untouched")
    screen.press("Save")
    screen.press("Save all 3 photos")
    with zipfile.ZipFile(screen.download("Download 2 photos").path()) as archive:
        assert sorted(archive.namelist()) == ["cup-photo.jpg", "cup-photo.png"]
    assert screen.page.locator(".all").get_by_role("alert").inner_text().count("broken.png") == 1


def test_a_job_that_is_done_before_its_answer_is_read_counts(screen, clean):
    screen.add(clean[".png"], clean[".jpg"])
    screen.settle(kind="untouched")

    def late(route):
        answer = route.fetch()
        screen.page.wait_for_timeout(1500)
        route.fulfill(response=answer)

    screen.page.route("**/jobs", late)
    screen.press("Save")
    screen.press("Save all 2 photos")
    screen.page.get_by_role("link", name="Download 2 photos").wait_for(timeout=30_000)


def test_all_are_cancelled_together(screen, noisy, large):
    screen.add(noisy, large)
    for name in ("cat.png", "large.png"):
        screen.press(name)
        screen.page.wait_for_function("() => document.querySelector('.chip')")
        screen.press("Upscale")
        screen.type_level(4)
    screen.press("Save")
    screen.press("Save all 2 photos")
    screen.page.get_by_role("progressbar", name="Progress of all photos").wait_for()
    screen.press("Cancel all")
    screen.page.get_by_text("Cancelled. Nothing was kept.").wait_for()
    screen.page.get_by_role("button", name="Save all 2 photos").wait_for()
    assert screen.page.get_by_role("button", name="Save all 2 photos").is_enabled()


def test_one_photo_alone_has_no_all(screen, clean):
    screen.add(clean[".png"])
    screen.press("Save")
    assert screen.page.get_by_role("button", name="Save all").count() == 0


def test_a_painted_map_is_saved_with_all_though_its_photo_is_not_looked_at(screen, noisy, clean, folder):
    screen.add(noisy, clean[".png"])
    screen.press("cat.png")
    screen.press("Denoise")
    screen.type_level(25)
    screen.settle()
    screen.press("Brush")
    screen.press("All")
    screen.press("cup.png")  # at once
    screen.press("Save")
    screen.press("Save all 2 photos")
    Image.new("L", (1, 1), 255).save(folder / "all.png")
    run("denoise", noisy, "-o", folder / "painted.png", "-l", "0:25", "--level-map", folder / "all.png")
    with zipfile.ZipFile(screen.download("Download 2 photos").path()) as archive:
        assert archive.read("cat-denoise-25.png") == (folder / "painted.png").read_bytes()

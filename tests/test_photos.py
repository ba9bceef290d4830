import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from makers import write_photo

from hyperrestore.errors import PictureError, UsageError
from hyperrestore.learn.photos import PhotoFile, Photos, find_photos, read_rgb, split_photos, validation_crops

CPU = torch.device("cpu")


def coordinates(height, width, number):
    """A picture that says at every pixel where it is: row, column, picture."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)]).astype(np.uint8)


def test_photos_are_found_in_a_fixed_order(tmp_path):
    for name in ("b.png", "a/z.PNG", "a/y.jpg"):
        write_photo(tmp_path / name, np.zeros((3, 4, 4)))
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "folder.png").mkdir()
    assert [file.photo for file in find_photos(tmp_path)] == ["a/y.jpg", "a/z.PNG", "b.png"]
    assert [file.path for file in find_photos(tmp_path)] == [
        tmp_path / name for name in ("a/y.jpg", "a/z.PNG", "b.png")
    ]


def test_an_index_says_which_tiles_are_one_photo(tmp_path):
    for name in ("p/1.png", "p/2.png", "p/3.png"):
        write_photo(tmp_path / name, np.zeros((3, 4, 4)))
    lines = ["part\ttile\tsource\timage", "p\t1.png\tset\tx", "p\t2.png\tset\tx", "p\tgone.png\tset\ty"]
    (tmp_path / "INDEX.tsv").write_text("\n".join(lines))
    assert [file.photo for file in find_photos(tmp_path)] == ["set/x", "set/x", "p/3.png"]


@pytest.mark.parametrize("index", ["part\ttile\np\t1.png", "part\ttile\tsource\timage\np\t1.png"])
def test_an_index_without_a_column_is_refused(tmp_path, index):
    write_photo(tmp_path / "p/1.png", np.zeros((3, 4, 4)))
    (tmp_path / "INDEX.tsv").write_text(index)
    with pytest.raises(UsageError, match=r"INDEX\.tsv: every row needs the columns part, tile"):
        find_photos(tmp_path)


def test_a_folder_without_photos_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match=str(folder)):
            find_photos(folder)


def files(names, tiles=3):
    return [PhotoFile(tmp, name) for name in names for tmp in (name + str(i) for i in range(tiles))]


names = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=60, unique=True)


@given(names)
def test_no_photo_is_on_both_sides(names):
    training, validation = split_photos(files(names))
    assert sorted(file.path for file in training + validation) == sorted(file.path for file in files(names))
    assert not {file.photo for file in training} & {file.photo for file in validation}
    assert training
    assert validation


@given(names, names)
def test_a_photos_side_does_not_depend_on_the_others(names, more):
    # Names for which no side is empty, whatever is added.
    sides = [zlib.crc32(name.encode()) % 5 == 0 for name in names]
    if all(sides) or not any(sides):
        return
    training, validation = split_photos(files(names), every=5)
    training_later, validation_later = split_photos(files({*names, *more}), every=5)
    assert {file.photo for file in training} <= {file.photo for file in training_later}
    assert {file.photo for file in validation} <= {file.photo for file in validation_later}


def test_about_one_in_so_many_is_held_out():
    _, validation = split_photos(files([f"photo {i}" for i in range(2000)], tiles=1), every=20)
    assert 70 < len(validation) < 130


def test_names_may_be_of_any_bytes():
    """What the file system gives for bytes that are no UTF-8."""
    files = [PhotoFile(Path(name), name) for name in ("caf\udce9.png", "b.png")]
    training, held_out = split_photos(files)
    assert sorted(file.photo for file in training + held_out) == sorted(file.photo for file in files)


def test_a_single_photo_is_too_few():
    with pytest.raises(UsageError, match="give at least two"):
        split_photos(files(["one"]))


@pytest.fixture
def photos(tmp_path):
    """Pictures of coordinates, of different sizes; the last is too small for a crop."""
    sizes = [(9, 14), (20, 8), (8, 8), (7, 30)]
    return [write_photo(tmp_path / f"{i}.png", coordinates(*size, i)) for i, size in enumerate(sizes)], sizes


def test_crops_are_crops_in_all_orientations(photos):
    found, sizes = photos
    drawn = Photos(found, crop=8, device=CPU)
    assert len(drawn) == 3
    crops = drawn.crops(3000, torch.Generator().manual_seed(0))
    assert crops.shape == (3000, 3, 8, 8)
    assert crops.dtype == torch.float32
    seen = set()
    for rows, columns, number in (crops * 255).round().to(int).numpy():
        assert len(np.unique(number)) == 1
        height, width = sizes[number[0, 0]]
        top, left = rows.min(), columns.min()
        assert top + 8 <= height
        assert left + 8 <= width
        upright = np.stack([rows - top, columns - left])
        base = np.mgrid[:8, :8]
        orientations = [np.rot90(base[:, :, ::flip], turn, (1, 2)) for flip in (1, -1) for turn in range(4)]
        (orientation,) = [i for i, one in enumerate(orientations) if np.array_equal(one, upright)]
        seen.add((int(number[0, 0]), int(top), int(left), orientation))
    places = [(i, y, x) for i, (h, w) in enumerate(sizes[:3]) for y in range(h - 7) for x in range(w - 7)]
    # 14 + 13 + 1 places, 8 orientations each, 13 draws of each on average: every one occurs.
    assert seen == {(*place, orientation) for place in places for orientation in range(8)}


def test_every_place_is_equally_likely(photos):
    crops = Photos(photos[0], crop=8, device=CPU).crops(14000, torch.Generator().manual_seed(1))
    counts = np.bincount((crops[:, 2, 0, 0] * 255).round().to(int).numpy())
    np.testing.assert_allclose(counts / 14000, np.array([14, 13, 1]) / 28, atol=0.02)


def test_slices_are_what_single_pixels_are(photos):
    drawn = Photos(photos[0], crop=7, device=CPU, drawn_share=0.2)
    generator = torch.Generator().manual_seed(2)
    chosen = torch.randint(len(drawn.height), (40,), generator=generator)
    top, left = ((torch.rand(40) * (side[chosen] - 6)).long() for side in (drawn.height, drawn.width))
    assert torch.equal(drawn._sliced(chosen, top, left), drawn._gathered(chosen, top, left))


def test_crops_depend_on_the_generator_alone(photos):
    drawn = Photos(photos[0], crop=8, device=CPU)
    a, b = (drawn.crops(20, torch.Generator().manual_seed(3)) for _ in range(2))
    other = drawn.crops(20, torch.Generator().manual_seed(4))
    assert torch.equal(a, b)
    assert not torch.equal(a, other)


def test_a_share_of_the_crops_is_drawn(photos, monkeypatch):
    def drawn(count, *, size, seed):
        return np.full((count, 3, size, size), 255, np.uint8)

    monkeypatch.setattr("hyperrestore.learn.photos.draw_pictures", drawn)
    some = Photos(photos[0], crop=8, device=CPU, drawn_share=0.25)
    assert len(some) == len(Photos(photos[0], crop=8, device=CPU))
    crops = some.crops(4000, torch.Generator().manual_seed(0))
    share = (crops == 1).flatten(1).all(1).double().mean().item()
    assert share == pytest.approx(0.25, abs=0.03)


def test_grey_photos_become_three_equal_channels(tmp_path, rng):
    grey = rng.integers(0, 256, (1, 8, 8))
    file = write_photo(tmp_path / "grey.png", grey)
    assert np.array_equal(read_rgb(file.path), np.repeat(grey, 3, axis=0))
    crops = Photos([file], crop=8, device=CPU).crops(4, torch.Generator().manual_seed(0))
    assert torch.equal(crops[:, 0], crops[:, 2])
    assert np.array_equal(np.sort((crops[0, 0] * 255).round().numpy().ravel()), np.sort(grey.ravel()))


def test_photos_smaller_than_a_crop_are_an_error_if_there_are_no_others(photos):
    with pytest.raises(UsageError, match=r"none of 4 photos is as large as a crop of 31x31"):
        Photos(photos[0], crop=31, device=CPU)


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    write_photo(tmp_path / "good.png", np.zeros((3, 8, 8)))
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(PictureError, match=r"bad\.png"):
        Photos(find_photos(tmp_path), crop=8, device=CPU)


def test_validation_crops_are_the_middle_of_one_tile_of_each_photo(photos):
    found, _ = photos
    two_tiles = [*found, PhotoFile(found[2].path, found[0].photo)]
    crops = validation_crops(two_tiles, count=9, size=7)
    assert crops.dtype == np.float32
    assert crops.shape == (4, 3, 7, 7)
    corners = {tuple(corner) for corner in np.rint(crops[:, ::-1, 0, 0] * 255).astype(int)}
    assert corners == {(0, 3, 1), (1, 0, 6), (2, 0, 0), (3, 11, 0)}
    assert np.array_equal(validation_crops(two_tiles[::-1][1:], count=2, size=7), crops[:2])


def test_validation_photos_must_be_large_enough(photos):
    with pytest.raises(UsageError, match="none of 4 validation photos has 100x100"):
        validation_crops(photos[0], count=9, size=100)

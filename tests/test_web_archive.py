"""Several results as one ZIP: what other programs read of it, and how little memory it takes."""

import io
import shutil
import subprocess
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import make_photo
from serving import add, begin, finish, page_at, running, sentence, wait_for

from hyperrestore.level import Task
from hyperrestore.web.archive import distinct_names, zipped


def test_what_is_packed_is_what_other_programs_unpack(tmp_path):
    contents = {"a.png": b"first", "ümlaut é.jpg": bytes(range(256)) * 5000, "empty.tif": b""}
    for index, content in enumerate(contents.values()):
        (tmp_path / str(index)).write_bytes(content)
    made = tmp_path / "made.zip"
    files = [(name, tmp_path / str(index)) for index, name in enumerate(contents)]
    made.write_bytes(b"".join(zipped(files)))
    with zipfile.ZipFile(made) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-q", made, "-d", tmp_path / "out"], check=True)
        assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == contents


def test_memory_is_for_a_piece_whatever_the_size(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**28)
    tracemalloc.start()
    try:
        length = sum(map(len, zipped([("large.tif", tmp_path / "large")])))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert length > 2**28


def test_a_file_that_has_vanished_ends_the_archive_with_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    pieces = zipped([("a.png", tmp_path / "a"), ("b.png", tmp_path / "b")])
    with pytest.raises(FileNotFoundError):
        list(pieces)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)))
def test_names_are_distinct_and_fit_every_system(stems):
    given_names = distinct_names([f"{stem}-denoise-5.png" for stem in stems])
    assert len({name.casefold() for name in given_names}) == len(stems)
    for name in given_names:
        assert not set(name) & set('<>:"/\\|?*')
        assert name.endswith(".png")
        assert len(name.encode()) <= 255


@pytest.fixture(scope="module")
def client(photo_model, tiny_model, dejpeg_model, upscale_model, tmp_path_factory):
    models = {
        Task.PHOTO: photo_model,
        Task.DENOISE: tiny_model,
        Task.DEJPEG: dejpeg_model,
        Task.UPSCALE: upscale_model,
    }
    with running(tmp_path_factory.mktemp("web"), models) as (address, _), page_at(address) as client:
        yield client


@pytest.fixture(scope="module")
def jobs(client, tmp_path_factory):
    """Three jobs that are done: two of photos of one name."""
    folder = tmp_path_factory.mktemp("photos")
    photos = [add(client, make_photo(folder / f"{seed}.png", seed=seed), "a.png") for seed in (1, 2)]
    photos.append(add(client, make_photo(folder / "b.jpg", seed=3)))
    begun = [begin(client, photo, task="denoise", level=20) for photo in photos]
    return [finish(client, job)["id"] for job in begun]


def test_the_archive_holds_what_single_downloads_give(client, jobs):
    response = client.get("/api/archive", params={"job": [*jobs, jobs[0]]})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == 'attachment; filename="restored.zip"'
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        names = ["a-denoise-20.png", "a-denoise-20-2.png", "b-denoise-20.jpg"]
        assert archive.namelist() == names
        for name, job in zip(names, jobs, strict=True):
            assert archive.read(name) == client.get(f"/api/jobs/{job}/file").content


def test_an_archive_of_what_is_not_there_is_refused(client, jobs, tmp_path):
    assert "no such job" in sentence(client.get("/api/archive", params={"job": [jobs[0], "x"]}), 404)
    assert "job" in sentence(client.get("/api/archive"), 422)
    photo = add(client, make_photo(tmp_path / "c.png"))
    job = begin(client, photo, task="denoise", level=20)["id"]
    client.delete(f"/api/jobs/{job}")
    wait_for(lambda: client.get(f"/api/jobs/{job}").json()["state"] in ("cancelled", "done"))
    response = client.get("/api/archive", params={"job": [job]})
    assert response.status_code in (404, 409)

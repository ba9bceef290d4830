"""Protocols: the scores of untouched inputs are the published ones."""

import numpy as np
import pytest
from makers import Fake, files_of

from hyperrestore.cli.main import main
from hyperrestore.errors import UsageError
from hyperrestore.level import SHIPPED, Task
from hyperrestore.measure.degrade import jpeg, rescale
from hyperrestore.measure.evaluate import evaluate
from hyperrestore.measure.protocols import DEGRADED, border, check_protocol, degrade, prepare, scored
from hyperrestore.picture.file import Picture, write_picture
from hyperrestore.picture.info import PictureInfo


@pytest.mark.parametrize(
    ("task", "protocol", "grey", "folder", "expected"),
    [
        (Task.DEJPEG, "standard", False, "LIVE1", {10: 25.69, 40: 30.28}),
        (Task.DEJPEG, "standard", True, "LIVE1", {10: 27.77, 40: 32.35}),
        (Task.DEJPEG, "hyperres", True, "LIVE1", {10: 27.02}),
        (Task.DEJPEG, "standard", False, "Classic5", {10: 27.82, 40: 32.43}),
        (Task.UPSCALE, "standard", False, "Set5", {2: 33.66, 3: 30.39, 4: 28.42}),
        (Task.UPSCALE, "hyperres", False, "Set5", {2: 34.40, 3: 28.66, 4: 27.66, 5: 24.91}),
    ],
)
def test_the_scores_of_inputs_are_the_published_ones(task, protocol, grey, folder, expected):
    evaluation = evaluate(Fake(task), files_of(folder), list(expected), protocol=protocol, grey=grey)
    for mean in evaluation.means():
        assert mean.input_psnr == pytest.approx(expected[mean.level], abs=0.03)
        assert mean.psnr == pytest.approx(mean.input_psnr, abs=0.02), "only rounded"
    assert f"{protocol}: {DEGRADED[task, protocol]}" in evaluation.protocol


def test_every_task_has_both_protocols():
    alone = set(SHIPPED) - {Task.PHOTO}  # kinds of damage that are measured alone
    assert set(DEGRADED) == {(task, name) for task in alone for name in ("standard", "hyperres")}
    with pytest.raises(UsageError, match=r"'mine'.*standard, hyperres"):
        check_protocol(Task.DENOISE, "mine", grey=False)
    with pytest.raises(UsageError, match="grey"):
        check_protocol(Task.DEJPEG, "hyperres", grey=False)
    check_protocol(Task.DEJPEG, "hyperres", grey=True)


def test_pictures_are_cut_only_for_whole_scales_of_the_standard():
    clean = np.random.default_rng(0).random((3, 23, 32), np.float32)

    def shape(level, protocol, task=Task.UPSCALE):
        return prepare(clean, level, task, protocol, grey=False).shape

    assert shape(3, "standard") == (3, 21, 30)
    assert shape(2.7, "standard") == shape(3, "hyperres") == shape(3, "standard", Task.DENOISE) == (3, 23, 32)
    with pytest.raises(UsageError, match="32 x 23"):
        shape(24, "standard")
    assert border(2.7, Task.UPSCALE, "standard") == 3
    assert border(3, Task.UPSCALE, "hyperres") == border(25, Task.DENOISE, "standard") == 0


def test_a_picture_is_degraded_by_its_task():
    clean = (np.random.default_rng(0).random((3, 24, 32)) * 255).round() / 255
    generator = np.random.default_rng(0)
    assert np.array_equal(degrade(clean, 30, Task.DEJPEG, "standard", generator), jpeg(clean, 30))
    for protocol in ("standard", "hyperres"):
        made = degrade(clean, 2.5, Task.UPSCALE, protocol, generator)
        assert np.array_equal(made, rescale(clean, 2.5, protocol=protocol))
    assert scored(clean, Task.UPSCALE).shape == (1, 24, 32)
    assert scored(clean, Task.DEJPEG) is clean


def test_a_model_of_jpeg_is_evaluated_by_the_command(dejpeg_model, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    y, x = np.mgrid[:40, :48] / 6
    pixels = ((np.stack([np.sin(x), np.cos(y), np.sin(x + y)]) + 1) / 2).astype(np.float32)
    write_picture(folder / "a.png", Picture(pixels, None, PictureInfo(48, 40, 3)))
    command = ["evaluate", str(dejpeg_model), str(folder), "--levels"]
    assert main([*command, "10,40"]) == 0
    text = capsys.readouterr().out
    assert "baseline JPEG" in text
    assert [line.split()[0] for line in text.splitlines()[-2:]] == ["10", "40"]
    assert main([*command, "10", "--protocol", "hyperres"]) == 2
    assert main([*command, "10.5"]) == 2

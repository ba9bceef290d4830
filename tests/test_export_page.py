"""A page that restores photos without a server: what is in its folder, and what is refused."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
from conftest import QUALITY, SCALE, SIGMA, SOFTNESS, SUBPIXEL, TINY, write_model

from hyperrestore.cli.main import main
from hyperrestore.errors import UsageError
from hyperrestore.level import Task
from hyperrestore.network.checkpoint import weights_digest
from hyperrestore.run.forms.export import export_form
from hyperrestore.run.forms.static_page import SOURCES
from hyperrestore.run.forms.web_runtime import FILES, TESTED
from hyperrestore.run.neutral import only_neutral_seen, without_tint
from hyperrestore.run.tiles import spans

LOCAL = re.compile(r"""(?:href|src)="([^"]+)"|from "([^"]+)"|fetch\("([^"]+)"\)|Worker\(`([\w.]+)""")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    kinds = {
        "denoise": (TINY, Task.DENOISE, SIGMA, ()),
        "dejpeg": (TINY, Task.DEJPEG, QUALITY, ()),
        "upscale": (SUBPIXEL, Task.UPSCALE, SCALE, (SOFTNESS,)),
    }
    return {
        name: write_model(
            folder / f"my-{name}.safetensors", config, task=task, scale=scale, axes=axes, graphs=False
        )
        for name, (config, task, scale, axes) in kinds.items()
    }


def npm_package(path, *, name="onnxruntime-web", files=FILES):
    """A package as `npm pack` writes it, with files that hold their own names."""
    contents = {"package.json": json.dumps({"name": name, "version": "1.2.3"}).encode()}
    contents |= {f"dist/{file}": file.encode() for file in files}
    with tarfile.open(path, "w:gz") as package:
        for file, content in contents.items():
            member = tarfile.TarInfo(f"package/{file}")
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    return npm_package(tmp_path_factory.mktemp("npm") / "runtime.tgz")


def contents_of(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


def test_a_page_is_a_folder_with_everything_it_needs(models, runtime, tmp_path):
    folder = export_form(models["denoise"], "page", tmp_path / "new" / "page", runtime=runtime)
    contents = contents_of(folder)
    about = json.loads(contents.pop("page.json"))
    assert about["sha256"] == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    assert {f"runtime/{name}": name.encode() for name in FILES}.items() <= contents.items()
    assert {source.name: source.read_bytes() for source in SOURCES.iterdir()}.items() <= contents.items()
    assert (about["form"], about["task"], about["model"]) == ("page", "denoise", "my-denoise")
    assert about["runtime"] == {"package": "onnxruntime-web", "version": "1.2.3", "licence": "MIT"}
    assert about["weights_sha256"] == weights_digest(models["denoise"])
    assert about["compared_with_the_engine"]["largest_difference"] <= 1e-5
    assert (about["multiple"], about["stride"], about["harmless"]) == (1, 2, [0])
    (level,) = about["levels"]
    assert (level["weakest"], level["strongest"], level["origin"]) == (0, 75, 0)


def test_the_slider_of_jpeg_quality_falls_and_has_no_harmless_level(models, runtime, tmp_path):
    folder = export_form(models["dejpeg"], "page", tmp_path, runtime=runtime)
    about = json.loads((folder / "page.json").read_text())
    assert about["harmless"] is None
    assert (about["levels"][0]["weakest"], about["levels"][0]["strongest"]) == (95, 5)


def test_exporting_a_page_again_gives_the_same_bytes(models, runtime, tmp_path):
    first = contents_of(export_form(models["denoise"], "page", tmp_path / "a", runtime=runtime))
    again = contents_of(export_form(models["denoise"], "page", tmp_path / "b", runtime=runtime))
    assert first == again


def test_a_page_asks_only_for_what_lies_beside_it():
    names, found = {source.name for source in SOURCES.iterdir()} | {"page.json"}, set()
    for source in SOURCES.iterdir():
        if source.suffix in (".html", ".js", ".css"):
            text = source.read_text()
            assert not re.search(r"https?://", text)
            found |= {next(filter(None, groups)).removeprefix("./") for groups in LOCAL.findall(text)}
    assert found == names - {"index.html", "licences.txt"}
    assert set(re.findall(r'"(ort[-.][^"]+)"', (SOURCES / "network.js").read_text())) == set(FILES)


def evaluated(tmp_path, module, program, given):
    """What a program of JavaScript prints that imports a module of the page, as JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("running the page's modules needs Node.js")
    shutil.copy(SOURCES / f"{module}.js", tmp_path / f"{module}.mjs")
    (tmp_path / "given.json").write_text(json.dumps(given))
    begin = "import { readFileSync } from 'fs'; const given = JSON.parse(readFileSync('given.json'));\n"
    (tmp_path / "program.mjs").write_text(f"import * as page from './{module}.mjs';\n{begin}{program}")
    result = subprocess.run([node, "program.mjs"], cwd=tmp_path, check=True, capture_output=True)
    return json.loads(result.stdout)


def test_the_page_cuts_tiles_as_the_engine_does(tmp_path):
    cuts = [
        (length, {"size": size, "halo": halo, "stride": stride})
        for length in (*range(1, 40), 511, 512, 513, 1300, 4001)
        for size, halo, stride in ((512, 93, 8), (8, 3, 2), (10, 11, 4), (5, 0, 1))
    ]
    program = "console.log(JSON.stringify(given.map(([length, cut]) => page.spans(length, cut))));"
    for (length, cut), tiles in zip(cuts, evaluated(tmp_path, "tiles", program, cuts), strict=True):
        wanted = spans(length, size=cut["size"], halo=cut["halo"], multiple=cut["stride"])
        assert tiles == [
            {
                "readStart": span.read_start,
                "readStop": min(span.read_stop, length),  # the graph mirrors what is missing
                "keepStart": span.keep_start,
                "keepStop": span.keep_stop,
            }
            for span in wanted
        ]


def test_the_page_keeps_neutral_what_the_engine_keeps_neutral(tmp_path, rng):
    image = np.repeat(rng.random((1, 17, 23)), 3, axis=0)
    image[0, 4, 5] = image[1, 12, 19] = 0.5
    restored = image + rng.normal(0, 0.1, image.shape)
    program = (
        "const { restored, image, ...rest } = given; page.removeTint(restored, image, rest);\n"
        "console.log(JSON.stringify(restored));"
    )
    given = {
        "restored": restored.ravel().tolist(),
        "image": image.ravel().tolist(),
        "width": 23,
        "height": 17,
    }
    result = np.reshape(evaluated(tmp_path, "neutral", program, {**given, "halo": 4}), image.shape)
    wanted = image + without_tint(restored - image, only_neutral_seen(image, 4))
    np.testing.assert_allclose(result, wanted, atol=1e-12)
    neutral = (result[0] == result[1]) & (result[0] == result[2])
    assert neutral.any() and not neutral.all()


REFUSED = [
    ("upscale", {}, "form page is not for enlarging; give a model for denoise or dejpeg"),
    ("denoise", {"half": True}, "form page has no half precision"),
    ("denoise", {"levels": (25.0,)}, "form page takes its level when it runs"),
    ("denoise", {"runtime": None}, f"download it by `npm pack onnxruntime-web@{TESTED}`, and give --runtime"),
]


@pytest.mark.parametrize(("name", "more", "message"), REFUSED)
def test_what_cannot_be_a_page_is_refused(models, runtime, tmp_path, name, more, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        export_form(models[name], "page", tmp_path, **{"runtime": runtime, **more})
    assert not list(tmp_path.iterdir())


def test_a_runtime_that_is_none_is_refused(models, tmp_path):
    (tmp_path / "text.tgz").write_text("no archive")
    npm_package(tmp_path / "other.tgz", name="left-pad")
    npm_package(tmp_path / "lacking.tgz", files=FILES[1:])
    messages = {
        "none.tgz": "not a readable npm package",
        "text.tgz": "not a readable npm package",
        "other.tgz": "the npm package 'left-pad'; download it by `npm pack",
        "lacking.tgz": "ort.wasm.bundle.min.mjs",
    }
    for name, message in messages.items():
        with pytest.raises(UsageError, match=re.escape(message)):
            export_form(models["denoise"], "page", tmp_path / "page", runtime=tmp_path / name)
    assert not (tmp_path / "page").exists()


def test_other_forms_take_no_runtime_and_the_model_keeps_its_folder(models, runtime, tmp_path):
    with pytest.raises(UsageError, match="form onnx takes none"):
        export_form(models["denoise"], "onnx", tmp_path, runtime=runtime)
    with pytest.raises(UsageError, match="holds the model itself"):
        export_form(models["denoise"], "page", models["denoise"].parent, runtime=runtime)


def test_only_an_earlier_page_is_replaced(models, runtime, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UsageError, match=r"index\.html: already exists, and was not exported"):
        export_form(next(iter(models.values())), "page", tmp_path, runtime=runtime)
    assert contents_of(tmp_path) == {"index.html": b"mine"}


def test_the_command_writes_a_page(models, runtime, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = str(models["denoise"])
    assert main(["export", model, "--as", "page", "--runtime", str(runtime)]) == 0
    assert capsys.readouterr().out == "my-denoise-page\n"
    assert (tmp_path / "my-denoise-page" / "index.html").is_file()
    assert main(["export", model, "--as", "page"]) == 2
    assert "npm pack onnxruntime-web" in capsys.readouterr().err
    assert main(["export", model, "--runtime", str(runtime)]) == 2
    assert "give it by --as" in capsys.readouterr().err

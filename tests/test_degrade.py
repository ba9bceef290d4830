"""Degradations: their laws, their references, and the published figures of degraded inputs."""

import io
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import samples_of
from PIL import Image

from hyperrestore.colour import full_range_luma
from hyperrestore.errors import LevelError, MissingExtraError, UsageError
from hyperrestore.measure.degrade import gaussian_noise, jpeg, rescale
from hyperrestore.measure.metrics import psnr, studio_luma, to_8bit
from hyperrestore.picture.containers.jpeg import quantisation_tables
from hyperrestore.resample import resize_bicubic, resize_matrix

PROTOCOLS = ("standard", "hyperres")
sides = st.integers(1, 40)


def random_picture(channels=3, height=37, width=31, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random((channels, height, width)).astype(dtype)


def smooth_picture(channels=3, height=64, width=96):
    y, x = np.mgrid[:height, :width]
    waves = [0.5 + 0.4 * np.sin(x / (5 + i)) * np.cos(y / (7 - i)) for i in range(channels)]
    return np.stack(waves).astype(np.float32)


def on_8bit_grid(image):
    return np.allclose(image, to_8bit(image), atol=1e-6)


# --- noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_noise_depends_only_on_its_arguments(protocol):
    clean = random_picture()
    kept = clean.copy()
    first = gaussian_noise(clean, 25, np.random.default_rng(7), protocol=protocol)
    np.random.default_rng(1).random(5)
    again = gaussian_noise(clean, 25, np.random.default_rng(7), protocol=protocol)
    other = gaussian_noise(clean, 25, np.random.default_rng(8), protocol=protocol)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(clean, kept)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sigma", [1, 25, 90.5])
def test_noise_power_is_sigma_squared(sigma, dtype):
    clean = np.full((3, 200, 300), 0.5, dtype)
    noise = gaussian_noise(clean, sigma, np.random.default_rng(0)) - clean
    assert noise.dtype == dtype
    check_white_noise(noise, sigma)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [1, 25, 90.5])
def test_noise_power_is_sigma_squared_in_torch(sigma, dtype):
    torch = pytest.importorskip("torch")
    clean = torch.full((3, 200, 300), 0.5, dtype=getattr(torch, dtype))
    noisy = gaussian_noise(clean, sigma, torch.Generator().manual_seed(0))
    again = gaussian_noise(clean, sigma, torch.Generator().manual_seed(0))
    assert noisy.dtype == clean.dtype
    assert torch.equal(noisy, again)
    check_white_noise((noisy - clean).numpy(), sigma)


def check_white_noise(noise, sigma):
    # Of n samples the power scatters by sqrt(2 / n), mean and correlation by sqrt(1 / n): five deviations.
    unit = noise.astype(np.float64) * 255 / sigma
    assert np.mean(unit**2) == pytest.approx(1, abs=5 * math.sqrt(2 / unit.size))
    assert abs(np.mean(unit)) < 5 / math.sqrt(unit.size)
    assert abs(np.mean(unit[..., 1:] * unit[..., :-1])) < 5 / math.sqrt(unit.size)


def test_sigma_may_differ_for_every_picture_or_pixel():
    torch = pytest.importorskip("torch")
    sigmas = [0.0, 10.0, 50.0]
    batch = np.full((3, 1, 200, 200), 0.5, np.float32)
    noisy = gaussian_noise(batch, np.reshape(sigmas, (3, 1, 1, 1)), np.random.default_rng(0))
    tensors = gaussian_noise(
        torch.from_numpy(batch),
        torch.tensor(sigmas, dtype=torch.float64).reshape(3, 1, 1, 1),
        torch.Generator().manual_seed(0),
    )
    assert noisy.dtype == np.float32 and tensors.dtype == torch.float32
    assert noisy.std((1, 2, 3)) * 255 == pytest.approx(sigmas, rel=0.03)
    assert tensors.numpy().std((1, 2, 3)) * 255 == pytest.approx(sigmas, rel=0.03)


def test_hyperres_noise_is_clipped_and_truncated():
    torch = pytest.importorskip("torch")
    clean = random_picture()
    exact = gaussian_noise(clean, 50, np.random.default_rng(3))
    noisy = gaussian_noise(clean, 50, np.random.default_rng(3), protocol="hyperres")
    assert exact.min() < 0 and exact.max() > 1
    assert noisy == pytest.approx(np.floor(exact.clip(0, 1) * 255) / 255, abs=1e-6)
    tensor = torch.from_numpy(clean)
    exact = gaussian_noise(tensor, 50, torch.Generator().manual_seed(3))
    noisy = gaussian_noise(tensor, 50, torch.Generator().manual_seed(3), protocol="hyperres")
    assert noisy.numpy() == pytest.approx((exact.clip(0, 1) * 255).floor().numpy() / 255, abs=1e-6)


def test_no_noise_leaves_every_8_bit_value():
    clean = (np.arange(256, dtype=np.float32) / 255)[None, None]
    for protocol in PROTOCOLS:
        noisy = gaussian_noise(clean, 0, np.random.default_rng(0), protocol=protocol)
        assert noisy == pytest.approx(clean, abs=1e-7)


# --- JPEG -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_jpeg_is_deterministic_and_8_bit(channels, dtype):
    clean = random_picture(channels, dtype=dtype)
    kept = clean.copy()
    decoded = jpeg(clean, 30)
    assert decoded.shape == clean.shape and decoded.dtype == dtype
    assert np.array_equal(decoded, jpeg(clean, 30))
    assert np.array_equal(clean, kept)
    assert on_8bit_grid(decoded)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_quality_is_monotonic(channels):
    clean = smooth_picture(channels)
    scores = [psnr(jpeg(clean, quality), clean) for quality in (5, 10, 20, 40, 60, 80, 95, 100)]
    assert scores == sorted(scores)
    assert scores[0] < 30 < 38 < scores[-1]


def test_jpeg_full_colour_resolution_is_closer():
    clean = smooth_picture()
    assert psnr(jpeg(clean, 90, subsampling="4:4:4"), clean) > psnr(jpeg(clean, 90), clean) + 0.5


def test_jpeg_rounds_first():
    clean = smooth_picture()
    assert np.array_equal(jpeg(clean, 50), jpeg(to_8bit(clean).astype(np.float32), 50))


def test_jpeg_names_the_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hyperrestore\[torch\]'"):
        jpeg(random_picture(), 50)


# --- rescaling --------------------------------------------------------------------------------------


@given(sides, sides, st.booleans())
def test_resize_to_the_same_size_is_identity(height, width, antialias):
    image = random_picture(2, height, width)
    assert np.array_equal(resize_bicubic(image, height, width, antialias=antialias), image)


@given(sides, sides, sides, sides, st.booleans())
def test_resize_preserves_a_constant(height, width, new_height, new_width, antialias):
    resized = resize_bicubic(np.full((1, height, width), 0.7), new_height, new_width, antialias=antialias)
    assert resized.shape == (1, new_height, new_width)
    assert resized == pytest.approx(0.7, abs=1e-12)


@given(sides, sides, sides, sides, st.booleans())
def test_resize_commutes_with_mirroring_and_transposing(height, width, new_height, new_width, antialias):
    image = random_picture(1, height, width, dtype=np.float64)
    resized = resize_bicubic(image, new_height, new_width, antialias=antialias)
    mirrored = resize_bicubic(image[:, :, ::-1], new_height, new_width, antialias=antialias)
    transposed = resize_bicubic(image.swapaxes(1, 2), new_width, new_height, antialias=antialias)
    assert mirrored[:, :, ::-1] == pytest.approx(resized, abs=1e-10)
    assert transposed.swapaxes(1, 2) == pytest.approx(resized, abs=1e-10)


@given(st.floats(1, 5))
def test_enlarging_with_antialias_preserves_a_ramp(scale):
    # Only the kernel with a = -0.5 reproduces straight lines; two pixels from the border all taps are inside.
    width, new_width = 20, round(20 * scale)
    ramp = np.arange(width, dtype=float)[None, None]
    places = (np.arange(new_width) + 0.5) * width / new_width - 0.5
    inside = (places > 2) & (places < width - 3)
    resized = resize_bicubic(ramp, 1, new_width, antialias=True)
    assert resized[0, 0, inside] == pytest.approx(places[inside], abs=1e-12)


@given(st.integers(1, 12), st.integers(1, 30))
def test_antialiased_resize_equals_its_definition(width, new_width):
    """MATLAB's rule written out: the picture mirrored without end, every sample weighted by the kernel."""

    def kernel(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    image = random_picture(1, 1, width, dtype=np.float64)
    margin = 4 * width + 4
    mirrored = np.pad(image[0, 0], margin, mode="symmetric")
    scale = new_width / width
    expected = []
    for i in range(1, new_width + 1):
        place = i / scale + 0.5 * (1 - 1 / scale)  # counted from 1
        weights = [kernel(min(1, scale) * (place - (j - margin + 1))) for j in range(len(mirrored))]
        expected.append(np.dot(weights, mirrored) / sum(weights))
    assert resize_bicubic(image, 1, new_width, antialias=True)[0, 0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("height", "width"), [(20, 50), (74, 62), (12, 10), (100, 7)])
def test_resize_equals_other_implementations(height, width):
    torch = pytest.importorskip("torch")
    image = random_picture()
    tensor = torch.from_numpy(image)[None].double()
    # torch uses the kernel, the border and the pixel centres of OpenCV.
    expected = torch.nn.functional.interpolate(tensor, (height, width), mode="bicubic")[0].numpy()
    ours = resize_bicubic(image.astype(np.float64), height, width, antialias=False)
    assert ours == pytest.approx(expected, abs=1e-12)
    # Pillow has MATLAB's kernel but cuts it off at the border, so compare farther inside than its radius.
    expected = np.stack([Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC) for c in image])
    y, x = (math.ceil(2 * max(1, new / old)) + 1 for old, new in ((37, height), (31, width)))
    ours = resize_bicubic(image, height, width, antialias=True)
    assert ours[:, y:-y, x:-x] == pytest.approx(expected[:, y:-y, x:-x], abs=2e-6)


@settings(max_examples=50)
@given(sides, sides, st.floats(1, 6), st.sampled_from(PROTOCOLS))
def test_rescale_keeps_shape_and_constants(height, width, scale, protocol):
    clean = np.full((3, height, width), 51 / 255, np.float32)
    result = rescale(clean, scale, protocol=protocol)
    assert result.dtype == clean.dtype
    assert result == pytest.approx(clean, abs=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rescale_removes_more_detail_at_a_larger_scale(protocol):
    clean = smooth_picture()
    kept = clean.copy()
    scores = [psnr(rescale(clean, scale, protocol=protocol), clean) for scale in (1, 2, 4, 8)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(psnr(to_8bit(clean), clean), abs=1e-3)
    assert np.array_equal(clean, kept)
    assert on_8bit_grid(rescale(clean, 3, protocol="hyperres"))


# --- errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, g: gaussian_noise(x, -1, g), LevelError, "sigma -1"),
        (lambda x, g: gaussian_noise(x, math.nan, g), LevelError, "sigma nan"),
        (lambda x, g: gaussian_noise(x, 25, g, protocol="mine"), UsageError, "'mine'.*standard, hyperres"),
        (lambda x, g: gaussian_noise(x, 25, None), UsageError, "NoneType.*numpy.random.Generator"),
        (lambda x, g: gaussian_noise(x.tolist(), 25, g), UsageError, "Generator.*for list"),
        (lambda x, g: jpeg(x, 0), LevelError, "quality 0 .*1 to 100"),
        (lambda x, g: jpeg(x, 10.5), LevelError, "quality 10.5"),
        (lambda x, g: jpeg(x, math.nan), LevelError, "quality nan"),
        (lambda x, g: jpeg(x, 10, subsampling="4:1:1"), UsageError, "'4:1:1'.*4:2:0, 4:2:2, 4:4:4"),
        (lambda x, g: jpeg(x[:2], 10), UsageError, r"\(2, 37, 31\)"),
        (lambda x, g: rescale(x, 0.5), LevelError, "scale 0.5"),
        (lambda x, g: rescale(x, 2, protocol="mine"), UsageError, "'mine'.*standard, hyperres"),
        (lambda x, g: rescale(x[0], 2), UsageError, r"\(37, 31\)"),
        (lambda x, g: resize_bicubic(x, 0, 5, antialias=True), UsageError, "0 x 5"),
        (lambda x, g: resize_bicubic(x[:, :0], 5, 5, antialias=True), UsageError, r"\(3, 0, 31\)"),
    ],
)
def test_errors_repeat_what_was_given(call, error, message):
    with pytest.raises(error, match=message):
        call(random_picture(), np.random.default_rng(0))


def test_import_is_light():
    heavy = "{'torch', 'PIL', 'scipy', 'skimage', 'cv2', 'openvino'}"
    program = "import sys, hyperrestore.measure.degrade, hyperrestore.measure.metrics\n"
    program += f"sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- published figures: the input row of the field's tables, to 0.02 dB ---------------------------------


def photos(name):
    """All pictures of a test set as (c, h, w) in [0, 1]."""
    return [samples.astype(np.float32) / np.float32(255) for samples in samples_of(name)]


def mean_psnr(pairs, border=0):
    return np.mean([psnr(degraded, clean, border=border) for degraded, clean in pairs])


def published(figures):
    return pytest.mark.parametrize(("level", "expected"), figures.items())


def near(expected):
    return pytest.approx(expected, abs=0.02)


@published({5: 34.15, 10: 28.13, 15: 24.61, 25: 20.17, 35: 17.25, 50: 14.15, 75: 10.63})
def test_cbsd68_noise(level, expected):
    generator = np.random.default_rng(0)
    assert mean_psnr((gaussian_noise(c, level, generator), c) for c in photos("CBSD68")) == near(expected)


@published({5: 34.20, 15: 24.83, 25: 20.54, 35: 17.79, 50: 15.00, 75: 12.12, 90: 10.97})
def test_cbsd68_noise_hyperres(level, expected):
    generator = np.random.default_rng(0)
    pairs = ((gaussian_noise(c, level, generator, protocol="hyperres"), c) for c in photos("CBSD68"))
    assert mean_psnr(pairs) == near(expected)


@published({10: 25.69, 20: 28.06, 30: 29.37, 40: 30.28})
def test_live1_colour_jpeg(level, expected):
    assert mean_psnr((jpeg(c, level), c) for c in photos("LIVE1")) == near(expected)


@published({10: 27.77, 20: 30.07, 30: 31.41, 40: 32.35})
def test_live1_grey_jpeg(level, expected):
    """The luminance is rounded to 8 bits first, then encoded as a grey JPEG."""
    grey = [to_8bit(studio_luma(c)) for c in photos("LIVE1")]
    assert mean_psnr((jpeg(c, level), c) for c in grey) == near(expected)


@published({10: 27.02})
def test_live1_full_range_grey_jpeg(level, expected):
    """HyperRes: the same with OpenCV's grey."""
    grey = [to_8bit(full_range_luma(c)) for c in photos("LIVE1")]
    assert mean_psnr((jpeg(c, level), c) for c in grey) == near(expected)


@published({10: 27.82, 20: 30.12, 30: 31.48, 40: 32.43})
def test_classic5_jpeg(level, expected):
    assert mean_psnr((jpeg(c, level), c) for c in photos("Classic5")) == near(expected)


@published({2: 33.66, 3: 30.39, 4: 28.42})
def test_set5_rescaled(level, expected):
    """Sides cut to multiples of the scale, luminance rounded to 8 bits before shrinking, border left out."""
    pairs = []
    for picture in photos("Set5"):
        height, width = (side - side % level for side in picture.shape[1:])
        clean = to_8bit(studio_luma(picture[:, :height, :width]))
        pairs.append((to_8bit(rescale(clean, level)), clean))
    assert mean_psnr(pairs, border=level) == near(expected)


@published({2: 34.40, 3: 28.66, 4: 27.66, 5: 24.91})
def test_set5_rescaled_hyperres(level, expected):
    """Whole pictures rescaled in RGB, then the luminance of both rounded to 8 bits, no border."""
    pairs = []
    for clean in photos("Set5"):
        degraded = rescale(clean, level, protocol="hyperres")
        pairs.append((to_8bit(studio_luma(degraded)), to_8bit(studio_luma(clean))))
    assert mean_psnr(pairs) == near(expected)


@pytest.mark.parametrize("quality", [1, 3, 9, 10, 49, 50, 51, 75, 95, 100])
def test_our_quantisation_tables_are_those_of_the_encoder(quality):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    with Image.open(file) as picture:
        assert tuple(map(tuple, picture.quantization.values())) == quantisation_tables(quality)


def test_varied_tables_keep_their_strength():
    luminance, _ = quantisation_tables(40)
    for tilt in (-0.8, 0.8):
        varied, _ = quantisation_tables(40, tilt=tilt)
        assert np.mean(np.log(varied)) == pytest.approx(np.mean(np.log(luminance)), abs=0.06)
        assert (varied[0] < luminance[0]) == (tilt > 0) and (varied[63] > luminance[63]) == (tilt > 0)
    assert quantisation_tables(40, colours=0.5)[1] != quantisation_tables(40)[1]
    with pytest.raises(LevelError):
        quantisation_tables(0.5)


@pytest.mark.parametrize(("count", "length"), [(40, 17), (17, 40), (5, 5), (1, 3), (9, 1)])
@pytest.mark.parametrize("antialias", [True, False])
def test_a_resize_is_its_matrix(count, length, antialias):
    line = np.random.default_rng(0).random((2, count, 3))
    matrix = resize_matrix(count, length, count / length, antialias=antialias)
    expected = resize_bicubic(line, length, 3, antialias=antialias)
    np.testing.assert_allclose(matrix @ line, expected, rtol=0, atol=1e-12)

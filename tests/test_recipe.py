import re
from pathlib import Path

import pytest
from makers import RECIPE

from hyperrestore.errors import RecipeError
from hyperrestore.learn.recipe import read_recipe

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))


def read(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads(path):
    assert read_recipe(str(path)).network.widths


def test_there_are_shipped_recipes():
    assert RECIPES


def test_a_recipe_says_what_the_file_says(tmp_path):
    recipe = read(tmp_path, RECIPE)
    assert recipe.network.widths == (8, 16)
    assert recipe.scale.trained == (0, 75)
    assert recipe.training.validate_at == (15, 50)
    assert recipe.training.levels_per_step == 4


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"denoise"', '"paint"', "paint"),
        ('task = "denoise"', "", "task"),
        ('task = "denoise"', 'task = "denoise"\nphotos = "here"', "photos"),
        ("[network]", "[net]", r"\[network\]"),
        ("[scale]", "[scales]", r"\[scale\]"),
        ("[training]", "[train]", r"\[training\]"),
        ("rank = 2", "rank = 2\ndepth = 3", "depth"),
        ("rank = 2", "rank = 2.5", "rank"),
        ("rank = 2", "rank = true", "rank"),
        ("rank = 2", "rank = -2", "rank"),
        ('"unet"', '"resnet"', "kind"),
        ('"unet"', "3", "kind"),
        ("widths = [8, 16]", "", "widths"),
        ("widths = [8, 16]", "widths = 8", "widths"),
        ("widths = [8, 16]", 'widths = "8, 16"', "widths"),
        ("widths = [8, 16]", "widths = [8, 16.5]", "widths"),
        ("widths = [8, 16]", 'widths = [8, "16"]', "widths"),
        ("widths = [8, 16]", "widths = [8]", "widths"),
        ("widths = [8, 16]", "widths = []", "widths"),
        ("blocks = [1, 1]", "blocks = [1, -1]", "blocks"),
        ('unit = "sigma"', "unit = 3", "unit"),
        ("low = 0", 'low = "0"', "low"),
        ("low = 0", "low = nan", "low"),
        ("low = 0", "low = 1" + 400 * "0", "low"),
        ("high = 100", "high = 60", "high"),
        ("high = 100", "high = inf", "high"),
        ("trained = [0, 75]", "trained = [0, 50, 75]", "trained"),
        ("trained = [0, 75]", "trained = 75", "trained"),
        ("reference = 50", "reference = 0", "reference"),
        ("reference = 50", "reference = 50\npowers = [0]", "powers"),
        ("learning_rate = 1e-3", 'learning_rate = "1e-3"', "learning_rate"),
        ("learning_rate = 1e-3", "learning_rate = 0", "learning_rate"),
        ("learning_rate = 1e-3", "learning_rate = nan", "learning_rate"),
        ("learning_rate = 1e-3", "learning_rate = inf", "learning_rate"),
        ("learning_rate = 1e-3", "", "learning_rate"),
        ("validate_at = [15, 50]", "validate_at = []", "validate_at"),
        ("validate_at = [15, 50]", "validate_at = [15, 101]", "validate_at.*101"),
        ("validate_at = [15, 50]", 'validate_at = ["15"]', "validate_at"),
        ("validate_at = [15, 50]", "validate_at = [15]\nlevels = [-1]", "levels.*-1"),
        ("validate_at = [15, 50]", "validate_at = [15]\nlevels = [50, 90]", r"levels.*\[90"),
        ("validate_at = [15, 50]", "validate_at = [15, 15.0000001]", "validate_at.*twice"),
        ("validate_at = [15, 50]", "validate_at = [15]\nema = 1", "ema"),
        ("validate_at = [15, 50]", "validate_at = [15]\nweight_decay = -1", "weight_decay"),
        ("validate_at = [15, 50]", "validate_at = [15]\nslope_rate = 0", "slope_rate"),
        ("validate_at = [15, 50]", "validate_at = [15]\nweaker_share = 1", "weaker_share"),
        ("validate_at = [15, 50]", "validate_at = [15]\ngrey_share = 1.1", "grey_share"),
        ("crop = 16", "crop = 0", "crop"),
        ("crop = 16", "crop = 64.0", "crop"),
        ("validate_at = [15, 50]", "validate_at = [15]\nseed = -1", "seed"),
        ("validate_at = [15, 50]", "validate_at = [15]\nshared_crops = 1", "shared_crops"),
        ("validate_at = [15, 50]", "validate_at = [15]\nsteps = 10", "steps"),
        ("[network]", "[network", "readable"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path, old, new, named):
    assert RECIPE.count(old) == 1
    with pytest.raises(RecipeError, match=rf"(?s)recipe\.toml.*{named}"):
        read(tmp_path, RECIPE.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        (
            "dejpeg",
            "validate_at = [10,",
            "validate_at = [10.5,",
            r"validate_at.* quality 10\.5 .* a whole number from 1 to 100$",
        ),
        (
            "dejpeg",
            "[training]",
            "[training]\nlevels = [20, 30.5]",
            r"levels.* quality 30\.5 .* a whole number",
        ),
        (
            "dejpeg",
            "trained = [5, 100]",
            "trained = [0, 100]",
            r"trained.* quality 0(\.0)? .* from 1 to 100$",
        ),
        (
            "upscale",
            "trained = [1, 4]",
            "trained = [0.5, 4]",
            r"trained.* scale 0\.5 .* a number of at least 1$",
        ),
        (
            "denoise",
            "trained = [0, 75]",
            "trained = [-1, 75]",
            r"trained.* sigma -1(\.0)? .* a number of at least 0, ",
        ),
    ],
)
def test_levels_that_no_picture_can_be_damaged_to_are_refused(tmp_path, name, old, new, named):
    (recipe,) = (path.read_text(encoding="utf-8") for path in RECIPES if path.stem == name)
    low = re.sub(r"^low = .*$", "low = -2", recipe, flags=re.MULTILINE).replace('spacing = "log"\n', "")
    assert low.count(old) == 1
    with pytest.raises(RecipeError, match=named):
        read(tmp_path, low.replace(old, new))


@pytest.mark.parametrize("name", ["dejpeg", "upscale"])
def test_only_noise_can_be_weaker_than_its_level(tmp_path, name):
    (recipe,) = (path.read_text(encoding="utf-8") for path in RECIPES if path.stem == name)
    with pytest.raises(RecipeError, match=f"weaker_share is for denoise.*{name}"):
        read(tmp_path, recipe.replace("[training]", "[training]\nweaker_share = 0.1"))


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="none"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(RecipeError):
        read_recipe(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="readable"):
        read_recipe(tmp_path / "binary.toml")

"""A degradation of one's own: a function of any module, named by a recipe.

    degradation = "my_module:my_function"

The function is called with

- clean: crops (b, 3, h, w), float32, values in [0, 1];
- levels: one for each level axis, (axes,), in the units of the recipe's scales; all crops get the same;
- generator: the `torch.Generator` that all its randomness has to come from.

They are tensors on the device of the training, and the generator is on it, too. It returns the degraded
crops, or a pair of degraded crops and what they are to become, of the same shape as `clean`. It is used for
training and for validation; `hyperrestore evaluate` measures by the protocol of the recipe's task.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from hyperrestore.errors import RecipeError

Degradation = Callable[[Tensor, Tensor, torch.Generator], Tensor | tuple[Tensor, Tensor]]


@cache
def find_degradation(name: str) -> Degradation:
    """Import the function that a recipe names.

    Args:
        name: "module:function".

    Raises:
        RecipeError: There is no such module, or no such function in it.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module exists, and lacks something that it imports
        raise RecipeError(
            f"degradation = {name!r}: there is no module {error.name!r}; install it, or name its folder in "
            "the environment variable PYTHONPATH"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise RecipeError(f"degradation = {name!r}: module {module_name!r} has no function {function_name!r}")
    found: Degradation = function
    return found


def custom_pair(
    name: str, clean: Tensor, levels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Degrade crops by the function that a recipe names.

    Args:
        name: "module:function".
        clean: (b, 3, h, w), values in [0, 1].
        levels: One for each level axis, (axes,).
        generator: On the crops' device.

    Returns:
        Degraded crops, and what they are to become, both (b, 3, h, w).

    Raises:
        RecipeError: There is no such function, or it returns anything else.
    """
    # Copies: a function may change what it is given.
    result = find_degradation(name)(clean.clone(), levels.clone(), generator)
    pair = result if isinstance(result, tuple) else (result, clean)
    if len(pair) != 2 or not all(_fits(one, clean) for one in pair):
        got = ", ".join(_in_words(one) for one in pair)
        raise RecipeError(
            f"degradation = {name!r} must return one tensor, or a tuple of two, each like the clean crops, "
            f"{_in_words(clean)}; it returned {got}"
        )
    degraded, target = pair
    return degraded.detach(), target.detach()  # a degradation may be a network, and is not trained


def _fits(result: object, clean: Tensor) -> bool:
    return (
        isinstance(result, Tensor)
        and result.shape == clean.shape
        and result.dtype == clean.dtype
        and result.device == clean.device
    )


def _in_words(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{tuple(value.shape)} of {value.dtype} on {value.device}"

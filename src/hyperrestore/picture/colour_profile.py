"""Whether a colour profile is whole, so that programs can use it."""

_HEADER = 132  # bytes: the header, and the number of its tags (ICC.1, 7.2 and 7.3)


def is_whole_profile(profile: bytes) -> bool:
    """Tell whether a profile says of itself that it is one, and has all the bytes that it says it has.

    Args:
        profile: Colour profile (ICC.1).

    Example:
        >>> is_whole_profile(b"cut off")
        False
    """
    return profile[36:40] == b"acsp" and _HEADER <= int.from_bytes(profile[:4], "big") <= len(profile)

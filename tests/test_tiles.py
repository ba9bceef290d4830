from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperrestore.run.tiles import round_up, spans

geometry = {
    "length": st.integers(1, 3000),
    "size": st.integers(1, 500),
    "halo": st.integers(0, 200),
    "multiple": st.integers(1, 16),
}


@given(**geometry)
def test_every_pixel_is_kept_exactly_once(length, size, halo, multiple):
    tiles = spans(length, size=size, halo=halo, multiple=multiple)
    kept = [pixel for tile in tiles for pixel in range(tile.keep_start, tile.keep_stop)]
    assert kept == list(range(length))


@given(**geometry)
def test_a_window_reaches_the_halo_or_the_border(length, size, halo, multiple):
    padded = round_up(length, multiple)
    for tile in spans(length, size=size, halo=halo, multiple=multiple):
        assert tile.read_start == 0 or tile.read_start <= tile.keep_start - halo
        assert tile.read_stop == padded or tile.read_stop >= tile.keep_stop + halo
        assert 0 <= tile.read_start <= tile.keep_start < tile.keep_stop <= tile.read_stop <= padded


@given(**geometry)
def test_a_window_reads_no_more_than_the_halo_rounded_up(length, size, halo, multiple):
    for tile in spans(length, size=size, halo=halo, multiple=multiple):
        assert tile.read_start > tile.keep_start - halo - multiple or tile.read_start == 0
        assert tile.read_stop < tile.keep_stop + halo + multiple


@given(**geometry)
def test_windows_lie_on_multiples_and_tiles_are_no_larger_than_asked(length, size, halo, multiple):
    for tile in spans(length, size=size, halo=halo, multiple=multiple):
        assert tile.read_start % multiple == tile.read_stop % multiple == tile.keep_start % multiple == 0
        assert tile.keep_stop - tile.keep_start <= round_up(size, multiple)


@given(**geometry)
def test_windows_never_go_back(length, size, halo, multiple):
    tiles = spans(length, size=size, halo=halo, multiple=multiple)
    for before, after in pairwise(tiles):
        assert before.read_start <= after.read_start <= before.read_stop <= after.read_stop


@pytest.mark.parametrize("changes", [{"length": 0}, {"size": 0}, {"halo": -1}, {"multiple": 0}])
def test_impossible_tiles_are_refused(changes):
    entries = {"length": 10, "size": 4, "halo": 1, "multiple": 2, **changes}
    with pytest.raises(ValueError, match="impossible tiles"):
        spans(entries.pop("length"), **entries)

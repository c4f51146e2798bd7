import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mman_jax.data import batching, parties
from tests import tiny


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), st.integers(1, 4))
def test_slots_against_a_direct_search(speakers, count):
    slots, new = parties.seat_all(speakers, count)
    holders = [None] * count
    for turn, speaker in enumerate(speakers):
        if speaker in holders:
            assert (slots[turn], new[turn]) == (holders.index(speaker), False)
            continue
        # A free slot, or that of the holder whose last turn is the oldest.
        spoke = [
            -1 if holder is None else max(i for i in range(turn) if speakers[i] == holder)
            for holder in holders
        ]
        assert new[turn]
        assert slots[turn] == np.argmin(spoke)
        holders[slots[turn]] = speaker


def test_rows_hold_the_slots_of_each_conversation():
    corpus = tiny.corpus((3, 1, 1))
    corpus = dataclasses.replace(
        corpus, speakers=tuple(f"s{i % 3}" for i in range(len(corpus.labels)))
    )
    layout = batching.pack(corpus.lengths, [0, 2])
    slots, new = parties.packed(corpus, layout, 9)
    for index, c in enumerate((0, 2)):
        names = corpus.speakers[corpus.offsets[c] : corpus.offsets[c + 1]]
        row, start = layout.row[index], layout.start[index]
        cells = slice(start, start + len(names))
        expected = parties.seat_all(names, 9)
        np.testing.assert_array_equal(slots[row, cells], expected[0])
        np.testing.assert_array_equal(new[row, cells], expected[1])
    assert not new[-1].any()
    without = dataclasses.replace(corpus, speakers=None)
    assert not parties.packed(without, layout, 9)[0].any()

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mman_jax.data import speakers
from tests import tiny


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), st.integers(1, 4))
def test_places_against_a_direct_search(names, count):
    state, holders = speakers.begin_places(count, (1,)), [None] * count
    for turn, name in enumerate(names):
        state, place, new = speakers.take_places(state, [name])
        if name in holders:
            assert (place[0], new[0]) == (holders.index(name), False)
            continue
        # A free place, or that of the holder whose last turn is the oldest.
        spoke = [
            -1 if holder is None else max(i for i in range(turn) if names[i] == holder)
            for holder in holders
        ]
        assert new[0]
        assert place[0] == np.argmin(spoke)
        holders[place[0]] = name


def test_places_of_a_corpus_are_those_of_its_conversations_turn_by_turn():
    corpus = tiny.corpus((3, 1, 1))
    names = tuple("abc"[i * i % 3] for i in range(len(corpus.labels)))
    corpus = dataclasses.replace(corpus, speakers=names)
    places, new = speakers.places(corpus, [2, 0], 2)
    start = 0
    for c in (2, 0):
        state = speakers.begin_places(2, (1,))
        for turn, name in enumerate(names[corpus.offsets[c] : corpus.offsets[c + 1]]):
            state, place, taken = speakers.take_places(state, [name])
            assert (places[start + turn], new[start + turn]) == (place[0], taken[0])
        start += corpus.lengths[c]
    assert start == len(places)

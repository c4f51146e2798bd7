"""Predictions from the last utterances only."""

import numpy as np
import pytest

from mman_jax.data import batching
from mman_jax.data.speakers import places_of
from mman_jax.evaluation import context
from mman_jax.systems.dialogue_rnn import DialogueRNN
from mman_jax.types import Inputs
from tests import tiny

LENGTHS = np.array([5, 2, 3, 1])
NAMES = list("abacbabaabc")
PLACES = 2
DIMS = {"text": 3, "speech": 2}


def rows(lengths, utterances, names=NAMES):
    """Rows of conversations that consist of these utterances, and their layout."""
    layout = batching.pack(lengths, range(len(lengths)))
    random = np.random.default_rng(0)
    features = {m: random.normal(size=(len(NAMES), d)).astype(np.float32) for m, d in DIMS.items()}
    count = len(utterances)
    mask = batching.place(layout, np.ones(count, bool), False)
    reset = ~mask
    reset[layout.row, layout.start] = True
    there = np.arange(len(NAMES)) % 4 != 1
    starts = np.cumsum(lengths) - lengths
    spoken = places_of([names[i] for i in utterances], starts, lengths, PLACES)
    packed = {m: batching.place(layout, x[utterances], 0) for m, x in features.items()}
    present = {"speech": batching.place(layout, there[utterances], False)}
    packed["speech"][~present["speech"]] = 0
    spoken = [batching.place(layout, x, x.dtype.type(0)) for x in spoken]
    return layout, Inputs(packed, mask, reset, present, *spoken)


@pytest.fixture(scope="module")
def system():
    sizes = {"history": 4, "party": 3, "emotion": 3, "dense": 3, "parties": PLACES}
    return DialogueRNN.from_settings(sizes, list(DIMS), 2)


@pytest.fixture(scope="module")
def answer(system):
    params = tiny.params(system, DIMS, 2)
    return lambda inputs: np.asarray(system.predict_seeds(params, inputs))


@pytest.fixture(scope="module")
def whole(answer):
    layout, inputs = rows(LENGTHS, range(len(NAMES)))
    return layout, inputs, batching.gather(layout, answer(inputs), axis=1)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_window_is_a_conversation_of_its_own(whole, answer, size):
    layout, inputs, logits = whole
    found = context.logits_within(answer, inputs, layout, logits, size, NAMES, PLACES)
    # The independent way: every window as a whole conversation, all of them in one corpus.
    begins = np.repeat(np.cumsum(LENGTHS) - LENGTHS, LENGTHS)
    windows = [range(max(b, u - size), u + 1) for u, b in enumerate(begins)]
    lengths = np.array([len(window) for window in windows])
    short, packed = rows(lengths, [u for window in windows for u in window])
    expected = batching.gather(short, answer(packed), axis=1)[:, np.cumsum(lengths) - 1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    changed = np.abs(found - logits).max((0, 2)) > 1e-4
    position = np.arange(len(NAMES)) - begins
    assert (changed == (position > size)).all()


def test_all_of_the_context_gives_the_answers_themselves(whole, answer):
    layout, inputs, logits = whole
    found = context.logits_within(answer, inputs, layout, logits, 4, NAMES, PLACES)
    assert (found == logits).all()
    assert found is not logits


def test_every_call_has_rows_of_one_shape(whole, answer):
    layout, inputs, logits = whole
    shapes = set()

    def watched(packed):
        shapes.add((packed.mask.shape, packed.speakers.shape, packed.features["text"].shape))
        assert packed.reset[:, 0].all()
        assert (packed.features["speech"][~packed.present["speech"]] == 0).all()
        return answer(packed)

    for size in context.SIZES:
        context.logits_within(watched, inputs, layout, logits, size, NAMES, PLACES)
    assert shapes == {(inputs.mask.shape, inputs.mask.shape, inputs.features["text"].shape)}

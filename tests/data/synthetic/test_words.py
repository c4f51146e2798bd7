import dataclasses
import itertools

import numpy as np
import pytest

from mman_jax.data.cells.views import aligned
from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.data.synthetic import words
from mman_jax.data.synthetic.words import (
    KINDS,
    VOCABULARY,
    WordProcess,
    ceiling,
    decode,
    generate,
    posterior,
)

PROCESS = WordProcess()
MODALITIES = ("text", "speech", "visual")


@pytest.fixture(scope="module")
def corpus():
    return generate(PROCESS, (30, 10, 60), seed=3)


@pytest.fixture(scope="module")
def unequal():
    process = dataclasses.replace(PROCESS, order=0.9, alignment=0.8, shift=0.7)
    return process, generate(process, (0, 0, 80), seed=6)


def best(process, kinds):
    """The accuracy to be expected of the best answer by these kinds, over all that they can say."""
    truth = [getattr(process, kind) if kind in KINDS else process.plain for kind in kinds]
    total = 0.0
    for says in itertools.product([True, False], repeat=len(truth)):
        right = [t if s else 1 - t for t, s in zip(truth, says, strict=True)]
        total += max(np.prod(right), np.prod(1 - np.array(right))) / 2
    return total


def drawn(process, count):
    rng = np.random.default_rng(5)
    return [words.draw(process, rng) for _ in range(count)]


def measured(utterance, noise=0.0):
    made = words.measure(dataclasses.replace(PROCESS, noise=noise), utterance, generator())
    return {name: x.astype(np.float64) for name, x in made.items()}


def generator():
    return np.random.default_rng(0)


def mirrored(utterance, kind):
    """The same utterance, whose evidence of one kind says the contrary."""
    if kind == "order":
        first, second = (VOCABULARY.index(word) for word in words.ORDER)
        swap = {first: second, second: first}
        said = np.array([swap.get(word, word) for word in utterance.words])
        return dataclasses.replace(utterance, words=said)
    if kind == "shift":
        return dataclasses.replace(utterance, rising=utterance.falling, falling=utterance.rising)
    ends = 2 * np.cumsum(utterance.units)
    starts = ends - 2 * utterance.units
    mine, yours = (list(utterance.words).index(VOCABULARY.index(w)) for w in words.ALIGNMENT)
    on_mine = starts[mine] <= utterance.event < ends[mine]
    return dataclasses.replace(utterance, event=int(starts[yours if on_mine else mine]))


def test_frames_lie_inside_words_and_evidence_is_what_was_drawn(corpus):
    assert corpus.dims == {"text": 16, "speech": 10, "visual": 12}
    text, speech, visual = (corpus.sequences[m] for m in MODALITIES)
    np.testing.assert_array_equal(speech.lengths, 2 * visual.lengths)
    length = text.intervals[:, 1] - text.intervals[:, 0]
    assert length.min() == pytest.approx(0.16)
    assert length.max() == pytest.approx(0.32)
    for modality, view in aligned(corpus, "text").items():
        assert view.present.all(), modality
    known = words.vectors()
    np.testing.assert_array_equal(
        np.array(VOCABULARY)[(text.values @ known.words.T).argmax(1)], text.names
    )
    for special in (*words.ORDER, *words.ALIGNMENT, words.SHIFT):
        assert text.names.count(special) == len(corpus.labels)
    truth = {kind: (says == corpus.labels).mean() for kind, says in decode(corpus).items()}
    error = 4 * 0.5 / np.sqrt(len(corpus.labels))
    for kind, share in truth.items():
        expected = getattr(PROCESS, kind) if kind in KINDS else PROCESS.plain
        assert abs(share - expected) < error, kind


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_leaves_every_sum_and_the_decoder_tells_it(kind):
    some = dataclasses.replace(PROCESS, utterances=1)
    whole = generate(some, (40, 0, 0), seed=4)
    for v in range(40):
        stream = np.random.SeedSequence(4, spawn_key=(0, v))
        utterance = words.draw(some, np.random.default_rng(stream))
        other = mirrored(utterance, kind)
        clean, changed = measured(utterance), measured(other)
        moved = {m for m in MODALITIES if not np.array_equal(clean[m], changed[m])}
        assert moved == {{"order": "text", "alignment": "speech", "shift": "visual"}[kind]}
        for modality, x in clean.items():
            np.testing.assert_allclose(changed[modality].sum(0), x.sum(0), atol=1e-5)
        told = decode(alone(whole, v, changed))
        before = {name: says[v] for name, says in decode(whole).items()}
        assert {name for name in told if told[name][0] != before[name]} == {kind}


def test_a_single_modality_has_alignment_and_shift_as_fair_coins():
    # Places of the event, and of what rises and falls, are the same under either answer.
    certain = dataclasses.replace(PROCESS, order=0.5, alignment=1.0, shift=1.0, plain=0.5)
    several = drawn(certain, 4000)
    answers = np.array([u.answer for u in several])
    for told in (
        [u.event for u in several],
        [u.event / u.units.sum() for u in several],
        [u.rising - u.falling for u in several],
        [u.rising for u in several],
        [u.units.sum() for u in several],
        [len(u.words) for u in several],
        [list(u.words).index(VOCABULARY.index("mine")) for u in several],
        [list(u.words).index(VOCABULARY.index("fine")) for u in several],
    ):
        told = np.array(told)
        for low, high in itertools.pairwise(np.quantile(told, [0, 0.25, 0.5, 0.75, 1])):
            chosen = (told >= low) & (told <= high)
            error = 4 * 0.5 / np.sqrt(chosen.sum())
            assert abs(answers[chosen].mean() - 0.5) < error


@pytest.mark.parametrize("without", [(), *((kind,) for kind in KINDS), KINDS], ids=str)
def test_ceilings_equal_enumeration_and_what_the_best_answer_reaches(unequal, without):
    process, large = unequal
    kinds = [k for k in (*KINDS, *MODALITIES) if k not in without]
    p = posterior(process, large, without)
    error = 4 * 0.5 / np.sqrt(len(p))
    assert ceiling(process, large, np.arange(80), without) == pytest.approx(p.max(1).mean())
    assert abs(p.max(1).mean() - best(process, kinds)) < error
    assert abs((p.argmax(1) == large.labels).mean() - p.max(1).mean()) < error
    np.testing.assert_allclose(p.sum(1), 1)


def test_each_kind_is_worth_points_that_nothing_else_holds(corpus):
    everything = np.arange(len(corpus.lengths))
    whole = ceiling(PROCESS, corpus, everything)
    for kind in KINDS:
        assert ceiling(PROCESS, corpus, everything, (kind,)) < whole - 0.03
    assert ceiling(PROCESS, corpus, everything, KINDS) < 0.67
    for chosen, lacks in (
        (("text",), ("alignment", "shift", "speech", "visual")),
        (("text", "speech"), ("shift", "visual")),
        (("text", "visual"), ("alignment", "speech")),
        (("speech", "visual"), (*KINDS, "text")),
    ):
        part = corpus.select_modalities(chosen)
        seen = {*KINDS, *MODALITIES} - set(lacks)
        assert decode(part).keys() == seen
        assert ceiling(PROCESS, part, everything) == pytest.approx(best(PROCESS, seen), abs=0.03)


def test_more_conversations_leave_the_others_as_they_were():
    few, many = (generate(PROCESS, (1, 0, count), seed=7) for count in (1, 2))
    for modality, sequence in few.sequences.items():
        cells = len(sequence.values)
        np.testing.assert_array_equal(many.sequences[modality].values[:cells], sequence.values)
    other = generate(PROCESS, (1, 0, 1), seed=8)
    assert other.fingerprint() != few.fingerprint()


def test_certain_evidence_and_unknown_evidence(corpus):
    certain = dataclasses.replace(PROCESS, order=1.0, alignment=0.5, shift=0.5, plain=0.5)
    sure = generate(certain, (2, 0, 0), seed=9)
    np.testing.assert_array_equal(posterior(certain, sure), np.eye(2)[sure.labels])
    with pytest.raises(ValueError, match="'pitch' is none of order, alignment, shift"):
        posterior(PROCESS, corpus, ("pitch",))


def alone(corpus, utterance, values):
    """A corpus of one utterance, with these values."""
    sequences = {}
    for modality, sequence in corpus.sequences.items():
        cells = slice(*sequence.offsets[utterance : utterance + 2])
        sequences[modality] = Sequence(
            values[modality].astype(np.float32),
            sequence.lengths[utterance : utterance + 1],
            sequence.intervals[cells],
        )
    return Corpus(
        {},
        corpus.labels[:1],
        corpus.label_names,
        np.ones(1, np.int32),
        ("a",),
        ("a",),
        sequences=sequences,
    )

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
    decode,
    expected,
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


def ceiling(process, corpus, conversations, without=()):
    return expected(posterior(process, corpus, without), corpus, conversations)


def best(process, kinds):
    """The expected accuracy of the best answer, over everything that these kinds can indicate."""
    reliability = [getattr(process, kind) if kind in KINDS else process.plain for kind in kinds]
    total = 0.0
    for signs in itertools.product([True, False], repeat=len(kinds)):
        right = [r if sign else 1 - r for r, sign in zip(reliability, signs, strict=True)]
        total += max(np.prod(right), np.prod(1 - np.array(right))) / 2
    return total


def measured(utterance):
    """The features of an utterance without noise."""
    noiseless = dataclasses.replace(PROCESS, noise=0.0)
    made = words.measure(noiseless, utterance, np.random.default_rng(0))
    return {name: x.astype(np.float64) for name, x in made.items()}


def mirrored(utterance, kind):
    """The utterance with evidence of one kind for the opposite answer."""
    if kind == "order":
        first, second = (VOCABULARY.index(word) for word in words.ORDER)
        swap = {first: second, second: first}
        exchanged = np.array([swap.get(word, word) for word in utterance.words])
        return dataclasses.replace(utterance, words=exchanged)
    if kind == "shift":
        return dataclasses.replace(utterance, rising=utterance.falling, falling=utterance.rising)
    ends = 2 * np.cumsum(utterance.units)
    starts = ends - 2 * utterance.units
    mine, yours = (list(utterance.words).index(VOCABULARY.index(w)) for w in words.ALIGNMENT)
    on_mine = starts[mine] <= utterance.event < ends[mine]
    return dataclasses.replace(utterance, event=int(starts[yours if on_mine else mine]))


def alone(corpus, utterance, values):
    """A corpus of one utterance with other values."""
    sequences = {}
    for modality, sequence in corpus.sequences.items():
        cells = slice(*sequence.offsets[utterance : utterance + 2])
        lengths = sequence.lengths[utterance : utterance + 1]
        array = values[modality].astype(np.float32)
        sequences[modality] = Sequence(array, lengths, sequence.intervals[cells])
    fields = (corpus.labels[:1], corpus.label_names, np.ones(1, np.int32), ("a",), ("a",))
    return Corpus({}, *fields, sequences=sequences)


def test_frames_are_within_words_and_evidence_agrees_with_the_process(corpus):
    assert corpus.dims == {"text": 16, "speech": 10, "visual": 12}
    text, speech, visual = (corpus.sequences[m] for m in MODALITIES)
    np.testing.assert_array_equal(speech.lengths, 2 * visual.lengths)
    duration = text.intervals[:, 1] - text.intervals[:, 0]
    assert duration.min() == pytest.approx(0.16)
    assert duration.max() == pytest.approx(0.32)
    for modality, view in aligned(corpus, "text").items():
        assert view.present.all(), modality
    nearest = (text.values @ words.vectors().words.T).argmax(1)
    np.testing.assert_array_equal(np.array(VOCABULARY)[nearest], text.names)
    for special in (*words.ORDER, *words.ALIGNMENT, words.SHIFT):
        assert text.names.count(special) == len(corpus.labels)
    error = 4 * 0.5 / np.sqrt(len(corpus.labels))
    for kind, signs in decode(corpus).items():
        expected = getattr(PROCESS, kind) if kind in KINDS else PROCESS.plain
        assert abs((signs == corpus.labels).mean() - expected) < error, kind


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_evidence_changes_no_sum_but_is_decoded(kind):
    process = dataclasses.replace(PROCESS, utterances=1)
    made = generate(process, (40, 0, 0), seed=4)
    before = decode(made)
    for v in range(40):
        stream = np.random.SeedSequence(4, spawn_key=(0, v))
        utterance = words.draw(process, np.random.default_rng(stream))
        clean, changed = measured(utterance), measured(mirrored(utterance, kind))
        moved = {m for m in MODALITIES if not np.array_equal(clean[m], changed[m])}
        assert moved == {{"order": "text", "alignment": "speech", "shift": "visual"}[kind]}
        for modality, x in clean.items():
            np.testing.assert_allclose(changed[modality].sum(0), x.sum(0), atol=1e-5)
        after = decode(alone(made, v, changed))
        assert {name for name in after if after[name][0] != before[name][v]} == {kind}


def test_alignment_and_shift_are_no_evidence_in_a_single_modality():
    # Positions of the event, and of rising and falling words, do not depend on the answer.
    certain = dataclasses.replace(PROCESS, order=0.5, alignment=1.0, shift=1.0, plain=0.5)
    rng = np.random.default_rng(5)
    several = [words.draw(certain, rng) for _ in range(4000)]
    answers = np.array([u.answer for u in several])
    for statistic in (
        [u.event for u in several],
        [u.event / u.units.sum() for u in several],
        [u.rising - u.falling for u in several],
        [u.rising for u in several],
        [u.units.sum() for u in several],
        [len(u.words) for u in several],
        *([list(u.words).index(VOCABULARY.index(w)) for u in several] for w in ("mine", "fine")),
    ):
        values = np.array(statistic)
        for low, high in itertools.pairwise(np.quantile(values, [0, 0.25, 0.5, 0.75, 1])):
            chosen = (values >= low) & (values <= high)
            error = 4 * 0.5 / np.sqrt(chosen.sum())
            assert abs(answers[chosen].mean() - 0.5) < error


@pytest.mark.parametrize("without", [(), *((kind,) for kind in KINDS), KINDS], ids=str)
def test_ceilings_equal_enumeration_and_the_accuracy_of_the_best_answer(unequal, without):
    process, large = unequal
    p = posterior(process, large, without)
    np.testing.assert_allclose(p.sum(1), 1)
    error = 4 * 0.5 / np.sqrt(len(p))
    expected = best(process, [k for k in (*KINDS, *MODALITIES) if k not in without])
    assert ceiling(process, large, np.arange(80), without) == pytest.approx(p.max(1).mean())
    assert abs(p.max(1).mean() - expected) < error
    assert abs((p.argmax(1) == large.labels).mean() - p.max(1).mean()) < error


def test_each_kind_of_evidence_raises_the_ceiling(corpus):
    everything = np.arange(len(corpus.lengths))
    complete = ceiling(PROCESS, corpus, everything)
    for kind in KINDS:
        assert ceiling(PROCESS, corpus, everything, (kind,)) < complete - 0.03
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


def test_conversations_depend_on_the_seed_but_not_on_their_number():
    few, many = (generate(PROCESS, (1, 0, count), seed=7) for count in (1, 2))
    for modality, sequence in few.sequences.items():
        values = many.sequences[modality].values[: len(sequence.values)]
        np.testing.assert_array_equal(values, sequence.values)
    assert generate(PROCESS, (1, 0, 1), seed=8).fingerprint() != few.fingerprint()


def test_certain_and_unknown_evidence(corpus):
    certain = dataclasses.replace(PROCESS, order=1.0, alignment=0.5, shift=0.5, plain=0.5)
    made = generate(certain, (2, 0, 0), seed=9)
    np.testing.assert_array_equal(posterior(certain, made), np.eye(2)[made.labels])
    with pytest.raises(ValueError, match="'pitch' is none of order, alignment, shift"):
        posterior(PROCESS, corpus, ("pitch",))

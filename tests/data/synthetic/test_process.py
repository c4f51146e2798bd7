import dataclasses

import numpy as np
import pytest

from mman_jax.data.synthetic import process as synthetic
from mman_jax.data.validation import SPLIT_NAMES

PROCESS = synthetic.process()
MODALITIES = ("speech", "visual", "text")


@pytest.fixture(scope="module")
def corpus():
    return synthetic.synthetic_corpus()


def decode(corpus):
    """The symbol, and in the carriers the code, that each utterance was drawn with."""
    symbols = {m: (corpus.features[m] @ PROCESS.symbols[m].T).argmax(axis=1) for m in MODALITIES}
    codes = {m: (corpus.features[m] @ PROCESS.codes[m].T).argmax(axis=1) for m in PROCESS.carriers}
    return symbols, codes


def assert_frequencies(rows, columns, table):
    """Counts of columns given rows agree with the table within four standard errors."""
    table = table[: rows.max() + 1]
    counts = np.zeros(table.shape)
    np.add.at(counts, (rows, columns), 1)
    total = counts.sum(axis=1, keepdims=True)
    error = np.sqrt(table * (1 - table) / total)
    np.testing.assert_array_less(np.abs(counts / total - table), 4 * error)


def test_default_sizes(corpus):
    assert corpus.dims == {"speech": 20, "visual": 24, "text": 16}
    assert corpus.label_names == ("happy", "sad", "neutral", "angry")
    assert corpus.source == "synthetic"
    first, second = corpus.offsets[:2]
    assert (corpus.conversation_ids[0], corpus.conversation_ids[-1]) == ("train_0000", "test_0059")
    assert corpus.utterance_ids[first] == "train_0000_1"
    assert corpus.utterance_ids[second - 1] == f"train_0000_{second}"
    assert corpus.utterance_ids[second] == "train_0001_1"
    part = np.repeat(corpus.split, corpus.lengths)
    assert {name: int((part == name).sum()) for name in SPLIT_NAMES} == {
        "train": 3633,
        "valid": 840,
        "test": 1586,
    }
    assert corpus.lengths.min() == PROCESS.shortest
    assert corpus.lengths.max() == PROCESS.longest
    # No class is rare, and none so frequent that always answering it looks like a model.
    shares = np.bincount(corpus.labels) / len(corpus.labels)
    assert shares.min() > 0.15
    assert shares.max() < 0.4


def test_tables_are_distributions():
    for table in (PROCESS.initial, PROCESS.transition, *PROCESS.emissions.values()):
        assert (table > 0).all()
        np.testing.assert_allclose(table.sum(axis=-1), 1, atol=1e-12)


def test_each_code_alone_is_a_fair_coin_for_every_emotion():
    np.testing.assert_allclose(PROCESS.joint.sum(axis=1), 0.5, atol=1e-12)
    np.testing.assert_allclose(PROCESS.joint.sum(axis=2), 0.5, atol=1e-12)


@pytest.mark.parametrize("modality", MODALITIES)
def test_codebooks_are_orthonormal(modality):
    vectors = PROCESS.symbols[modality]
    if modality in PROCESS.carriers:
        one, other = PROCESS.codes[modality]
        np.testing.assert_array_equal(one, -other)
        vectors = np.concatenate([vectors, one[None]])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-12)


def test_golden_values(corpus):
    # If you changed the process or the order of its draws on purpose, update these, and the
    # ceilings that docs/results.md quotes.
    assert corpus.lengths[:6].tolist() == [12, 29, 37, 34, 18, 21]
    assert corpus.labels[:16].tolist() == [3, 3, 3, 3, 3, 3, 2, 3, 1, 1, 1, 1, 3, 3, 2, 2]
    values = [corpus.features[m][-1, 0] for m in MODALITIES]
    np.testing.assert_allclose(values, [-0.10827506, 0.34631056, 0.06740562], atol=1e-6)
    # How often each emotion, symbol and code was drawn: every number of the tables has its part.
    symbols, codes = decode(corpus)
    assert np.bincount(corpus.labels).tolist() == [1211, 1495, 2181, 1172]
    assert {modality: np.bincount(drawn).tolist() for modality, drawn in symbols.items()} == {
        "speech": [1268, 1778, 1712, 1301],
        "visual": [1675, 1858, 2526],
        "text": [1150, 1340, 1388, 1113, 1068],
    }
    assert [np.bincount(codes[modality]).tolist() for modality in PROCESS.carriers] == [
        [3019, 3040],
        [3010, 3049],
    ]
    sizes = [np.abs(corpus.features[m].astype(np.float64)).mean() for m in MODALITIES]
    np.testing.assert_allclose(sizes, [0.2621804188, 0.1878478989, 0.2927098801], rtol=1e-7)


def test_same_seed_same_corpus_and_another_seed_another():
    first, again, other = (synthetic.generate(PROCESS, (2, 1, 1), seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.labels, again.labels)
    for modality in MODALITIES:
        np.testing.assert_array_equal(first.features[modality], again.features[modality])
    assert not np.array_equal(first.features["text"][:12], other.features["text"][:12])


def test_more_conversations_leave_the_others_as_they_were():
    small = synthetic.generate(PROCESS, (2, 1, 1))
    large = synthetic.generate(PROCESS, (3, 2, 1))
    for name in small.conversation_ids:
        ours = small.utterances(small.conversation_ids.index(name))
        theirs = large.utterances(large.conversation_ids.index(name))
        np.testing.assert_array_equal(small.labels[ours], large.labels[theirs])
        for modality in MODALITIES:
            np.testing.assert_array_equal(
                small.features[modality][ours], large.features[modality][theirs]
            )


def test_splits_share_no_conversation(corpus):
    assert len(np.unique(corpus.features["text"], axis=0)) == len(corpus.labels)


def test_one_conversation_of_one_utterance():
    shortest = dataclasses.replace(PROCESS, shortest=1, longest=1)
    corpus = synthetic.generate(shortest, (0, 0, 1))
    assert corpus.split == ("test",)
    assert corpus.lengths.tolist() == [1]
    assert corpus.features["speech"].shape == (1, 20)


def test_emotions_follow_the_chain(corpus):
    starts = np.zeros(len(corpus.labels), bool)
    starts[corpus.offsets[:-1]] = True
    follows = np.flatnonzero(~starts)
    assert_frequencies(corpus.labels[follows - 1], corpus.labels[follows], PROCESS.transition)
    first = corpus.labels[starts]
    assert_frequencies(np.zeros_like(first), first, PROCESS.initial[None])


@pytest.mark.parametrize("modality", MODALITIES)
def test_symbols_follow_the_emissions(corpus, modality):
    symbols, _ = decode(corpus)
    assert_frequencies(corpus.labels, symbols[modality], PROCESS.emissions[modality])


def test_codes_follow_the_joint_table(corpus):
    _, codes = decode(corpus)
    pairs = 2 * codes["speech"] + codes["text"]
    assert_frequencies(corpus.labels, pairs, PROCESS.joint.reshape(4, 4))
    pleasant = np.isin(corpus.labels, [0, 2])
    differ = codes["speech"] != codes["text"]
    assert (pleasant == differ).mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("modality", PROCESS.carriers)
def test_a_code_is_drawn_apart_from_its_own_symbol_and_the_past(corpus, modality):
    symbols, codes = decode(corpus)
    fair = np.full((5, 2), 0.5)
    assert_frequencies(symbols[modality], codes[modality], fair)
    # The last code of one conversation and the first of the next are as unrelated as any two.
    assert_frequencies(codes[modality][:-1], codes[modality][1:], fair)
    assert_frequencies(corpus.labels[:-1], codes[modality][1:], fair)


@pytest.mark.parametrize("modality", MODALITIES)
def test_noise_has_the_stated_size(corpus, modality):
    symbols, codes = decode(corpus)
    mean = PROCESS.symbols[modality][symbols[modality]]
    if modality in codes:
        mean = mean + PROCESS.codes[modality][codes[modality]]
    assert (corpus.features[modality] - mean).std() == pytest.approx(PROCESS.noise, rel=0.02)

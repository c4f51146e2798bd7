import dataclasses
import itertools
import math

import numpy as np
import pytest

from mman_jax.data.synthetic import process as synthetic
from mman_jax.data.synthetic.process import expected, generate, posterior
from mman_jax.data.validation import SPLIT_NAMES
from tests.data.small import assert_equal

PROCESS = synthetic.process()
MODALITIES = ("speech", "visual", "text")
EVIDENCE = ("all", "late", *MODALITIES)


@pytest.fixture(scope="module")
def corpus():
    return synthetic.synthetic_corpus()


@pytest.fixture(scope="module")
def large():
    return generate(PROCESS, (0, 0, 600), seed=1)


@pytest.fixture(scope="module")
def small():
    return generate(PROCESS, (3, 0, 0), seed=2)


def ceiling(process, corpus, conversations, evidence="all"):
    return expected(posterior(process, corpus, evidence), corpus, conversations)


def decode(corpus):
    """The symbol and, in the carriers, the code of each utterance."""
    symbols = {m: (corpus.features[m] @ PROCESS.symbols[m].T).argmax(axis=1) for m in MODALITIES}
    codes = {m: (corpus.features[m] @ PROCESS.codes[m].T).argmax(axis=1) for m in PROCESS.carriers}
    return symbols, codes


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
    assert [(part == name).sum() for name in SPLIT_NAMES] == [3633, 840, 1586]
    assert corpus.lengths.min() == PROCESS.shortest
    assert corpus.lengths.max() == PROCESS.longest
    # No class is rare, and none so frequent that always predicting it seems good.
    shares = np.bincount(corpus.labels) / len(corpus.labels)
    assert shares.min() > 0.15
    assert shares.max() < 0.4
    assert len(np.unique(corpus.features["text"], axis=0)) == len(corpus.labels)


def test_tables_are_distributions():
    for table in (PROCESS.initial, PROCESS.transition, *PROCESS.emissions.values()):
        assert (table > 0).all()
        np.testing.assert_allclose(table.sum(axis=-1), 1, atol=1e-12)
    # Each code alone is a fair coin for every emotion.
    for axis in (1, 2):
        np.testing.assert_allclose(PROCESS.joint.sum(axis=axis), 0.5, atol=1e-12)


@pytest.mark.parametrize("modality", MODALITIES)
def test_codebooks_are_orthonormal(modality):
    vectors = PROCESS.symbols[modality]
    if modality in PROCESS.carriers:
        one, other = PROCESS.codes[modality]
        np.testing.assert_array_equal(one, -other)
        vectors = np.concatenate([vectors, one[None]])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-12)


def test_golden_values(corpus):
    # After a deliberate change of the process or its draws, update these and docs/results.md.
    assert corpus.lengths[:6].tolist() == [12, 29, 37, 34, 18, 21]
    assert corpus.labels[:16].tolist() == [3, 3, 3, 3, 3, 3, 2, 3, 1, 1, 1, 1, 3, 3, 2, 2]
    values = [corpus.features[m][-1, 0] for m in MODALITIES]
    np.testing.assert_allclose(values, [-0.10827506, 0.34631056, 0.06740562], atol=1e-6)
    symbols, codes = decode(corpus)
    assert np.bincount(corpus.labels).tolist() == [1211, 1495, 2181, 1172]
    assert {modality: np.bincount(drawn).tolist() for modality, drawn in symbols.items()} == {
        "speech": [1268, 1778, 1712, 1301],
        "visual": [1675, 1858, 2526],
        "text": [1150, 1340, 1388, 1113, 1068],
    }
    counts = [np.bincount(codes[modality]).tolist() for modality in PROCESS.carriers]
    assert counts == [[3019, 3040], [3010, 3049]]
    sizes = [np.abs(corpus.features[m].astype(np.float64)).mean() for m in MODALITIES]
    np.testing.assert_allclose(sizes, [0.2621804188, 0.1878478989, 0.2927098801], rtol=1e-7)


def test_conversations_depend_on_the_seed_but_not_on_their_number():
    first, same, other = (generate(PROCESS, (2, 1, 1), seed) for seed in (5, 5, 6))
    assert_equal(first, same)
    assert not np.array_equal(first.features["text"][:12], other.features["text"][:12])
    more = generate(PROCESS, (3, 2, 1), 5)
    chosen = [more.conversation_ids.index(name) for name in first.conversation_ids]
    assert_equal(first, more.select_conversations(chosen))


def test_one_conversation_of_one_utterance():
    corpus = generate(dataclasses.replace(PROCESS, shortest=1, longest=1), (0, 0, 1))
    assert corpus.split == ("test",)
    assert corpus.lengths.tolist() == [1]
    assert corpus.features["speech"].shape == (1, 20)


def assert_frequencies(rows, columns, table):
    """Asserts that counts of columns given rows agree with a table within 4 standard errors."""
    table = table[: rows.max() + 1]
    counts = np.zeros(table.shape)
    np.add.at(counts, (rows, columns), 1)
    total = counts.sum(axis=1, keepdims=True)
    error = np.sqrt(table * (1 - table) / total)
    np.testing.assert_array_less(np.abs(counts / total - table), 4 * error)


def test_frequencies_agree_with_the_tables(corpus):
    labels, (symbols, codes) = corpus.labels, decode(corpus)
    starts = np.zeros(len(labels), bool)
    starts[corpus.offsets[:-1]] = True
    later = np.flatnonzero(~starts)
    assert_frequencies(labels[later - 1], labels[later], PROCESS.transition)
    assert_frequencies(np.zeros_like(labels[starts]), labels[starts], PROCESS.initial[None])
    pairs = 2 * codes["speech"] + codes["text"]
    assert_frequencies(labels, pairs, PROCESS.joint.reshape(4, 4))
    for modality in MODALITIES:
        assert_frequencies(labels, symbols[modality], PROCESS.emissions[modality])
        mean = PROCESS.symbols[modality][symbols[modality]]
        if modality in codes:
            mean = mean + PROCESS.codes[modality][codes[modality]]
            # Codes are independent of the symbol, the previous code and the previous emotion.
            fair = np.full((5, 2), 0.5)
            assert_frequencies(symbols[modality], codes[modality], fair)
            assert_frequencies(codes[modality][:-1], codes[modality][1:], fair)
            assert_frequencies(labels[:-1], codes[modality][1:], fair)
        deviation = (corpus.features[modality] - mean).std()
        assert deviation == pytest.approx(PROCESS.noise, rel=0.02)


def density(x, mean, noise):
    return math.exp(-sum((x - mean) ** 2) / (2 * noise**2))


def brute_likelihood(process, features, u, emotion, evidence):
    """P(features of utterance u | emotion), summed over every symbol and every code."""
    modalities = [evidence] if evidence in MODALITIES else list(features)
    total = 0.0
    for code in itertools.product(range(2), repeat=2):
        code = dict(zip(process.carriers, code, strict=True))
        pair = process.joint[emotion, code["speech"], code["text"]]
        for symbols in itertools.product(*(range(len(process.symbols[m])) for m in modalities)):
            term = 0.25 if evidence == "late" else pair
            for m, k in zip(modalities, symbols, strict=True):
                mean = process.symbols[m][k]
                if m in code:
                    mean = mean + process.codes[m][code[m]]
                term *= process.emissions[m][emotion, k]
                term *= density(features[m][u].astype(np.float64), mean, process.noise)
            total += term
    return total


def brute_posterior(process, corpus, evidence):
    """The posterior, summed over every path of emotions for each utterance."""
    rows = []
    for v in range(len(corpus.lengths)):
        likelihood = [
            [brute_likelihood(process, corpus.features, u, c, evidence) for c in range(4)]
            for u in range(*corpus.utterances(v).indices(len(corpus.labels)))
        ]
        for last in range(len(likelihood)):
            row = np.zeros(4)
            for path in itertools.product(range(4), repeat=last + 1):
                p = process.initial[path[0]] * likelihood[0][path[0]]
                for u in range(1, last + 1):
                    p *= process.transition[path[u - 1], path[u]] * likelihood[u][path[u]]
                row[path[-1]] += p
            rows.append(row / row.sum())
    return np.array(rows)


@pytest.mark.parametrize(
    ("evidence", "noise", "modalities"),
    [
        *((evidence, noise, MODALITIES) for evidence in EVIDENCE for noise in (0.2, 0.6)),
        *(("all", 0.6, m) for m in (("speech", "text"), ("text", "visual"), ("visual",))),
    ],
)
def test_the_posterior_equals_enumeration(evidence, noise, modalities):
    blurred = dataclasses.replace(PROCESS, noise=noise, shortest=2, longest=3)
    corpus = generate(blurred, (2, 0, 0), seed=8).select_modalities(modalities)
    assert sorted(corpus.lengths) == [2, 3]
    expected = brute_posterior(blurred, corpus, evidence)
    np.testing.assert_allclose(posterior(blurred, corpus, evidence), expected, atol=1e-10)


def test_ceilings_distinguish_joint_evidence_and_context(large):
    bounds = {evidence: ceiling(PROCESS, large, np.arange(600), evidence) for evidence in EVIDENCE}
    assert 0.85 < bounds["all"] < 0.92
    assert 0.70 < bounds["late"] < 0.78
    assert bounds["all"] - bounds["late"] > 0.08
    assert bounds["visual"] < bounds["speech"] < bounds["text"] < bounds["late"] - 0.08
    stationary = np.linalg.matrix_power(PROCESS.transition, 1000)[0]
    tables = {"initial": stationary, "transition": np.tile(stationary, (4, 1))}
    forgetful = dataclasses.replace(PROCESS, **tables)
    for evidence, gain in (("all", 0.02), ("late", 0.04)):
        predictions = posterior(forgetful, large, evidence).argmax(axis=1)
        assert (predictions == large.labels).mean() < bounds[evidence] - gain
    # Without text there is no pair of codes, so that only single evidence remains.
    without, carriers = (large.select_modalities([m, "speech"]) for m in ("visual", "text"))
    late = ceiling(PROCESS, without, np.arange(600), "late")
    assert ceiling(PROCESS, without, np.arange(600)) == late
    assert ceiling(PROCESS, carriers, np.arange(600)) > bounds["late"] + 0.08


def test_a_ceiling_is_that_of_the_chosen_conversations(small):
    best = posterior(PROCESS, small).max(axis=1)
    chosen = np.concatenate([best[small.utterances(0)], best[small.utterances(2)]])
    value = ceiling(PROCESS, small, [0, 2])
    assert type(value) is float
    assert value == pytest.approx(chosen.mean(), abs=1e-12)
    assert ceiling(PROCESS, small, np.array([True, False, True])) == value
    unlabelled = dataclasses.replace(small, labels=np.full_like(small.labels, -1))
    assert ceiling(PROCESS, unlabelled, [0, 2]) == value


def test_distant_features_still_give_a_distribution(small):
    text = small.features["text"] + np.float32(1e4)
    p = posterior(PROCESS, dataclasses.replace(small, features={**small.features, "text": text}))
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    with pytest.raises(ValueError, match="neither 'all' nor 'late' nor a modality"):
        posterior(PROCESS, small, "audio")

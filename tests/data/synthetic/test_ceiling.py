import dataclasses
import itertools
import math
import types

import numpy as np
import pytest

from mman_jax.data.synthetic.process import ceiling, generate, posterior, process

PROCESS = process()
MODALITIES = ("speech", "visual", "text")
EVIDENCE = ("all", "late", *MODALITIES)


@pytest.fixture(scope="module")
def large():
    return generate(PROCESS, (0, 0, 600), seed=1)


@pytest.fixture(scope="module")
def bounds(large):
    return {evidence: ceiling(PROCESS, large, np.arange(600), evidence) for evidence in EVIDENCE}


@pytest.fixture
def small():
    return generate(PROCESS, (3, 0, 0), seed=2)


def tiny(noise):
    """Two conversations, of three utterances and of two, whose symbols the noise blurs."""
    blurred = dataclasses.replace(PROCESS, noise=noise, shortest=2, longest=3)
    corpus = generate(blurred, (2, 0, 0), seed=8)
    assert sorted(corpus.lengths) == [2, 3]
    return blurred, corpus


def with_features(corpus, **changed):
    return dataclasses.replace(corpus, features={**corpus.features, **changed})


def flip(corpus, modality):
    """Features and lengths with every code of the modality turned into the other: a reflection.

    Not a Corpus, which would round the features to float32 and blur the equality.
    """
    direction = PROCESS.codes[modality][0]
    x = corpus.features[modality].astype(np.float64)
    flipped = x - 2 * np.outer(x @ direction, direction)
    features = {**corpus.features, modality: flipped}
    return types.SimpleNamespace(features=features, lengths=corpus.lengths)


def density(x, mean, noise):
    return math.exp(-sum((x - mean) ** 2) / (2 * noise**2))


def brute_likelihood(process, features, u, emotion, evidence):
    """P(features of utterance u | emotion) by summing over every symbol and every code."""
    own = [evidence] if evidence in MODALITIES else list(features)
    total = 0.0
    for code in itertools.product(range(2), repeat=2):
        code = dict(zip(process.carriers, code, strict=True))
        pair = process.joint[emotion, code["speech"], code["text"]]
        weight = 0.25 if evidence == "late" else pair
        for symbols in itertools.product(*(range(len(process.symbols[m])) for m in own)):
            term = weight
            for m, k in zip(own, symbols, strict=True):
                mean = process.symbols[m][k]
                if m in code:
                    mean = mean + process.codes[m][code[m]]
                term *= process.emissions[m][emotion, k]
                term *= density(features[m][u].astype(np.float64), mean, process.noise)
            total += term
    return total


def brute_posterior(process, corpus, evidence):
    """By summing over every path of emotions, utterance by utterance anew."""
    answer = []
    for v in range(len(corpus.lengths)):
        where = range(*corpus.utterances(v).indices(len(corpus.labels)))
        likelihood = [
            [brute_likelihood(process, corpus.features, u, c, evidence) for c in range(4)]
            for u in where
        ]
        for last in range(len(where)):
            row = np.zeros(4)
            for path in itertools.product(range(4), repeat=last + 1):
                p = process.initial[path[0]] * likelihood[0][path[0]]
                for u in range(1, last + 1):
                    p *= process.transition[path[u - 1], path[u]] * likelihood[u][path[u]]
                row[path[-1]] += p
            answer.append(row / row.sum())
    return np.array(answer)


@pytest.mark.parametrize("noise", [0.2, 0.6])
@pytest.mark.parametrize("evidence", EVIDENCE)
def test_posterior_equals_enumeration(evidence, noise):
    blurred, corpus = tiny(noise)
    expected = brute_posterior(blurred, corpus, evidence)
    np.testing.assert_allclose(posterior(blurred, corpus, evidence), expected, atol=1e-10)


@pytest.mark.parametrize("seen", [("speech", "text"), ("text", "visual"), ("visual",)])
def test_absent_modalities_are_unseen(seen):
    blurred, corpus = tiny(0.6)
    corpus = corpus.select_modalities(seen)
    expected = brute_posterior(blurred, corpus, "all")
    np.testing.assert_allclose(posterior(blurred, corpus), expected, atol=1e-10)


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_posterior_is_calibrated(large, evidence):
    p = posterior(PROCESS, large, evidence)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    truth = np.eye(4)[large.labels]
    hit = p.argmax(axis=1) == large.labels
    surplus = np.column_stack([hit - p.max(axis=1), truth - p])
    # Utterances of a conversation err together, so conversations are what is independent.
    sums = np.add.reduceat(surplus, large.offsets[:-1])
    error = sums.std(axis=0) * np.sqrt(len(sums))
    assert (np.abs(sums.sum(axis=0)) < 4 * error).all()


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_later_features_leave_earlier_posteriors_bit_for_bit(small, evidence):
    noise = np.random.default_rng(0)
    changed = {m: x.copy() for m, x in small.features.items()}
    cut = 7
    for x in changed.values():
        x[cut:] = noise.standard_normal(x[cut:].shape)
    before = posterior(PROCESS, small, evidence)
    after = posterior(PROCESS, with_features(small, **changed), evidence)
    np.testing.assert_array_equal(after[:cut], before[:cut])
    assert not np.allclose(after[cut:], before[cut:])


def test_conversations_do_not_touch_each_other(small):
    for v in range(3):
        part = small.utterances(v)
        alone = dataclasses.replace(
            small,
            features={m: x[part] for m, x in small.features.items()},
            labels=small.labels[part],
            lengths=small.lengths[v : v + 1],
            conversation_ids=small.conversation_ids[v : v + 1],
            utterance_ids=small.utterance_ids[part],
            split=small.split[v : v + 1],
        )
        together = posterior(PROCESS, small)[part]
        np.testing.assert_allclose(posterior(PROCESS, alone), together, atol=1e-12)


@pytest.mark.parametrize("modality", PROCESS.carriers)
def test_a_code_alone_tells_nothing_and_the_pair_does(small, modality):
    flipped = flip(small, modality)
    for evidence in (modality, "late"):
        np.testing.assert_allclose(
            posterior(PROCESS, flipped, evidence), posterior(PROCESS, small, evidence), atol=1e-9
        )
    assert np.abs(posterior(PROCESS, flipped) - posterior(PROCESS, small)).max() > 0.5
    both = flip(flip(small, "speech"), "text")
    np.testing.assert_allclose(posterior(PROCESS, both), posterior(PROCESS, small), atol=1e-9)


def test_late_is_a_function_of_the_uni_modal_predictions(small):
    single = {m: posterior(PROCESS, small, m) for m in MODALITIES}
    for v in range(3):
        prior = {m: PROCESS.initial for m in MODALITIES}
        fused = PROCESS.initial
        for u in range(*small.utterances(v).indices(len(small.labels))):
            for m in MODALITIES:
                fused = fused * single[m][u] / prior[m]
                prior[m] = single[m][u] @ PROCESS.transition
            fused = fused / fused.sum()
            np.testing.assert_allclose(posterior(PROCESS, small, "late")[u], fused, atol=1e-9)
            fused = fused @ PROCESS.transition


def test_only_together_do_the_modalities_reach_the_ceiling(bounds):
    assert 0.85 < bounds["all"] < 0.92
    assert 0.70 < bounds["late"] < 0.78
    assert bounds["all"] - bounds["late"] > 0.08
    assert bounds["visual"] < bounds["speech"] < bounds["text"] < bounds["late"] - 0.08


def test_context_helps(large, bounds):
    stationary = np.linalg.matrix_power(PROCESS.transition, 1000)[0]
    forgetful = dataclasses.replace(
        PROCESS, initial=stationary, transition=np.tile(stationary, (4, 1))
    )
    answers = posterior(forgetful, large).argmax(axis=1)
    assert (answers == large.labels).mean() < bounds["all"] - 0.02
    answers = posterior(forgetful, large, "late").argmax(axis=1)
    assert (answers == large.labels).mean() < bounds["late"] - 0.04


def test_the_codes_need_both_carriers(large, bounds):
    # Without text there is no pair, so all that is left is single evidence.
    without = large.select_modalities(["speech", "visual"])
    everything = np.arange(600)
    late = ceiling(PROCESS, without, everything, "late")
    assert ceiling(PROCESS, without, everything) == late
    carriers = large.select_modalities(["speech", "text"])
    assert ceiling(PROCESS, carriers, everything) > bounds["late"] + 0.08


def test_ceiling_is_over_the_chosen_conversations(small):
    best = posterior(PROCESS, small).max(axis=1)
    chosen = np.concatenate([best[small.utterances(0)], best[small.utterances(2)]])
    value = ceiling(PROCESS, small, [0, 2])
    assert type(value) is float
    assert value == pytest.approx(chosen.mean(), abs=1e-12)
    assert ceiling(PROCESS, small, np.array([True, False, True])) == value
    unlabelled = dataclasses.replace(small, labels=np.full_like(small.labels, -1))
    assert ceiling(PROCESS, unlabelled, [0, 2]) == value


def test_far_off_features_still_give_a_distribution(small):
    far = with_features(small, text=small.features["text"] + np.float32(1e4))
    p = posterior(PROCESS, far)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("evidence", ["early", "", "audio"])
def test_unknown_evidence_is_refused(small, evidence):
    with pytest.raises(ValueError, match="neither 'all' nor 'late' nor a modality"):
        posterior(PROCESS, small, evidence)

import dataclasses

import numpy as np
import pytest

from mman_jax.data import batching, scaling, validation
from mman_jax.data.scaling import Rule
from mman_jax.errors import InputError
from tests.data.small import corpus, refuses


def of(values, lengths=(2, 2, 1)):
    return corpus(lengths=lengths, features={"a": np.array(values, np.float32)})


def test_by_hand_from_the_training_conversations_alone():
    made = of([[1, 0], [3, 4], [1000, 1000], [1000, 1000], [5, 5]])
    fitted = scaling.fit(made, [2, 0])
    np.testing.assert_allclose(fitted.mean["a"], [3, 3])
    np.testing.assert_allclose(fitted.scale["a"], [1 / np.sqrt(8 / 3), 1 / np.sqrt(14 / 3)])
    assert fitted.mean["a"].dtype == fitted.scale["a"].dtype == np.float32
    scaled = fitted.apply({"a": made.features["a"][:2]})["a"]
    np.testing.assert_allclose(scaled[:, 0], [-2 / np.sqrt(8 / 3), 0], rtol=1e-6)
    assert scaled.dtype == np.float32


def test_training_values_become_standard_in_each_modality():
    rng = np.random.default_rng(0)
    features = {
        name: (rng.standard_normal((50, 3)) * [1e-9, 1, 1e6] + 5 * offset).astype(np.float32)
        for name, offset in (("a", 0), ("b", 1))
    }
    features["b"][:, 0] = rng.standard_normal(50)
    made = corpus(lengths=(50,), features=features)
    scaled = scaling.fit(made, [0]).apply(made.features)
    for values in scaled.values():
        np.testing.assert_allclose(values.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(values.std(0), 1, rtol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e8, 1e30])
def test_a_constant_column_is_zero_in_training_and_bounded_elsewhere(constant):
    made = of([[constant]] * 4 + [[7.0]])
    fitted = scaling.fit(made, [0, 1])
    np.testing.assert_allclose(fitted.scale["a"], 1)
    scaled = fitted.apply(made.features)["a"]
    np.testing.assert_allclose(scaled[:4] / max(abs(constant), 1), 0, atol=1e-6)
    assert abs(scaled[4, 0]) <= scaling.LIMIT


def test_outliers_are_clipped_rounding_is_constant_and_enormous_columns_do_not_overflow():
    outlier = of([[0.0], [1], [0], [1], [3e38]])
    assert scaling.fit(outlier, [0, 1]).apply(outlier.features)["a"][4, 0] == scaling.LIMIT
    noisy = np.float32(1000) + np.float32(6.1e-5) * np.array([0, 1, 0, 1, 0])
    assert scaling.fit(of(noisy[:, None]), [0, 1]).scale["a"].tolist() == [1.0]
    made = of([[3e38], [-3e38], [3e38], [-3e38], [1e30]])
    scaled = scaling.fit(made, [0, 1]).apply(made.features)["a"]
    np.testing.assert_allclose(scaled[:4, 0], [1, -1, 1, -1], rtol=1e-5)


def test_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    made = corpus(lengths=(30, 40), features={"a": rng.random((70, 3), np.float32)})
    whole = scaling.fit(made, [1])
    scaled = whole.apply(made.features)["a"]
    monkeypatch.setattr(validation, "_CHUNK_VALUES", 20)
    parts = scaling.fit(made, [1])
    np.testing.assert_allclose(whole.mean["a"], parts.mean["a"], rtol=1e-6)
    np.testing.assert_allclose(whole.scale["a"], parts.scale["a"], rtol=1e-6)
    np.testing.assert_array_equal(whole.apply(made.features)["a"], scaled)


def test_apply_leaves_its_input_and_takes_any_leading_axes():
    made = of([[1], [2], [3], [4], [5]])
    fitted = scaling.fit(made, [0, 1, 2])
    before = made.features["a"].copy()
    row = fitted.apply({"a": made.features["a"][0]})["a"]
    assert row.shape == (1,)
    assert fitted.apply({"a": made.features["a"].reshape(5, 1, 1)})["a"].shape == (5, 1, 1)
    np.testing.assert_array_equal(made.features["a"], before)


def test_unknown_modalities_and_other_sizes_are_refused():
    made = of([[1], [2], [3], [4], [5]])
    refuses(lambda: scaling.fit(made, []), "no training conversations")
    fitted = scaling.fit(made, [0])
    refuses(lambda: fitted.apply({"b": made.features["a"]}), "modality b: unknown", "one of a")
    refuses(lambda: fitted.apply({"a": np.zeros((5, 2), np.float32)}), "modality a: ", "(5, 2)")


LENGTHS = (7, 6, 8, 5)


def talks(**changes):
    """Conversations of two speakers each, with a modality that is sometimes missing."""
    random = np.random.default_rng(3)
    total = sum(LENGTHS)
    speakers = tuple("ab"[i % 2] if i < 13 else "cd"[i % 3 == 0] for i in range(total))
    shift = np.array([ord(name) - 96 for name in speakers])[:, None]
    features = {
        name: (random.normal(size=(total, size)) * shift + 5 * shift).astype(np.float32)
        for name, size in (("x", 4), ("y", 3))
    }
    present = {"y": random.random(total) < 0.7}
    fields = {"features": features, "present": present, "speakers": speakers}
    return corpus(lengths=LENGTHS, **(fields | changes))


def rows(made, conversations, fitted):
    """Scaled features of conversations, by modality, as training packs them."""
    layout = batching.pack(made.lengths, conversations)
    packed = batching.rows(made, layout, fitted)
    return {m: batching.gather(layout, np.asarray(x)) for m, x in packed.features.items()}


def test_each_speaker_has_their_own_mean_and_deviation():
    made = talks()
    fitted = scaling.fit(made, [0, 1], rule=Rule(by_speaker=True))
    scaled, order = rows(made, [2, 3], fitted), made.utterances_of([2, 3])
    speakers = np.array(made.speakers)[order]
    for modality, values in scaled.items():
        there = made.present.get(modality, np.ones(len(made.labels), bool))[order]
        for name in "cd":
            own = made.features[modality][order][there & (speakers == name)]
            expected = (own - own.mean(0)) / own.std(0)
            np.testing.assert_allclose(values[there & (speakers == name)], expected, atol=1e-5)
        assert (values[~there] == 0).all()


def test_a_single_utterance_counts_as_much_as_training_and_an_unknown_speaker_not_at_all():
    names = ["a", "a", "b", "b", "b", "c", "unknown"]
    values = [[0.0], [2], [4], [6], [8], [10], [12]]
    made = corpus((5, 2), features={"x": np.array(values, np.float32)}, speakers=tuple(names))
    fitted = scaling.fit(made, [0], rule=Rule(by_speaker=True))
    score = (np.array([10, 12]) - 4) / np.sqrt(8)
    # Mean score / 2, variance (0 + 1) / 2.
    expected = [score[0] / 2 / np.sqrt(1 / 2), score[1]]
    np.testing.assert_allclose(rows(made, [1], fitted)["x"][:, 0], expected, rtol=1e-6)


def test_a_column_that_is_constant_for_a_speaker_is_zero():
    made = talks()
    made.features["x"][np.array(made.speakers) == "c", 1] = 0.1
    scaled = rows(made, [2, 3], scaling.fit(made, [0, 1], rule=Rule(by_speaker=True)))["x"]
    speakers = np.array(made.speakers)[made.utterances_of([2, 3])]
    np.testing.assert_allclose(scaled[speakers == "c", 1], 0, atol=1e-6)


def test_past_turns_are_shrunk_towards_training_by_hand():
    made, turns = talks(), 2.0
    fitted = scaling.fit(made, [0, 1], rule=Rule(by_speaker=True))
    causal = dataclasses.replace(fitted, turns=turns, causal=True)
    scores = (made.features["x"].astype(float) - fitted.mean["x"]) * fitted.scale["x"]
    found, order = rows(made, [0, 2], causal)["x"], made.utterances_of([0, 2])
    for row, i in zip(found, order, strict=True):
        start = made.offsets[np.searchsorted(made.offsets, i, side="right") - 1]
        past = [u for u in range(start, i) if made.speakers[u] == made.speakers[i]]
        own, n = scores[np.array(past, int)], len(past)
        mean = own.sum(0) / (n + turns)
        squares = ((own - own.mean(0)) ** 2).sum(0) if n else 0.0
        deviation = np.sqrt((squares + turns) / (n + turns))
        np.testing.assert_allclose(row, (scores[i] - mean) / deviation, rtol=1e-4, atol=1e-5)


def test_the_speaker_who_was_silent_for_longest_is_forgotten(monkeypatch):
    monkeypatch.setattr("mman_jax.data.speakers.PLACES", 2)
    names = ("a", "b", "a", "c", "a", "b")  # c takes b's place, and b begins anew
    values = np.arange(6, dtype=np.float32)[:, None]
    made = corpus((6, 2), features={"x": np.append(values, [[0], [9]], 0).astype(np.float32)},
                  speakers=(*names, "a", "b"))  # fmt: skip
    fitted = scaling.fit(made, [1], rule=Rule(by_speaker=True))
    causal = dataclasses.replace(fitted, turns=1.0, causal=True)
    first = fitted.apply({"x": values})["x"]
    found = rows(made, [0], causal)["x"]
    new = [0, 1, 3, 5]
    np.testing.assert_allclose(found[new], first[new], rtol=1e-6)
    assert (np.abs(found[[2, 4]] - first[[2, 4]]) > 1e-3).all()


def test_a_conversation_alone_gives_the_same_turn_by_turn():
    made = talks()
    causal = scaling.fit(made, [0, 1], rule=Rule(True, {"x": 2})).in_turn()[2]
    every = rows(made, [0, 1, 2, 3], causal)["x"]
    np.testing.assert_array_equal(rows(made, [2], causal)["x"], every[13:21])


@pytest.mark.parametrize(("size", "count"), [(12, 5), (40, 4), (3, 3)])
def test_principal_components_against_numpy(size, count):
    random = np.random.default_rng(size)
    values = random.normal(size=(26, size)) @ random.normal(size=(size, size)) + 3
    made = talks(features={"x": values.astype(np.float32)}, present={})
    fitted = scaling.fit(made, [0, 1, 2], rule=Rule(components={"x": count}))
    train, plain = values[:21], scaling.fit(made, [0, 1, 2])
    scores = (train - train.mean(0)) / train.std(0)
    _, singular, directions = np.linalg.svd(scores, full_matrices=False)
    overlap = np.abs(fitted.components["x"].T @ directions[:count].T)
    np.testing.assert_allclose(overlap, np.eye(count), atol=1e-4)
    largest = np.abs(fitted.components["x"]).argmax(0)
    assert (fitted.components["x"][largest, np.arange(count)] > 0).all()
    assert fitted.sizes == {"x": count}
    reduced = fitted.apply({"x": made.features["x"]})["x"]
    np.testing.assert_allclose(np.linalg.norm(reduced[:21], axis=0), singular[:count], rtol=1e-4)
    np.testing.assert_allclose(reduced[:21].mean(0), 0, atol=1e-4)
    whole = plain.apply({"x": made.features["x"]})["x"] @ fitted.components["x"]
    np.testing.assert_allclose(reduced, whole - fitted.offset["x"], atol=1e-4)


@pytest.mark.parametrize("by_speaker", [False, True])
def test_nothing_but_the_training_conversations_is_fitted(by_speaker):
    made, other = talks(), talks()
    other.features["x"][13:] += 100
    rule = Rule(by_speaker, {"x": 2, "y": 1})
    first, second = (scaling.fit(x, [0, 1], rule=rule) for x in (made, other))
    for name, arrays in first.arrays().items():
        for modality, array in arrays.items():
            np.testing.assert_array_equal(array, second.arrays()[name][modality])
    for modality, values in rows(made, [0, 1], first).items():
        np.testing.assert_array_equal(values, rows(other, [0, 1], second)[modality])


REFUSED = {
    "no speakers": (dict(speakers=None), Rule(True), "small: speakers"),
    "one speaker": (dict(speakers=("a",) * 26), Rule(True), "small: speakers"),
    "unknown speakers": (dict(speakers=("unknown",) * 26), Rule(True), "small: speakers"),
    "unknown modality": ({}, Rule(components={"z": 2}), "config.data.reduce.z"),
    "too many for the features": ({}, Rule(components={"x": 5}), "config.data.reduce.x"),
    "too many for the rows": (
        dict(features={"x": np.ones((26, 50), np.float32)}, present={}),
        Rule(components={"x": 13}),
        "config.data.reduce.x",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_fitted_is_refused(name):
    changes, rule, place = REFUSED[name]
    with pytest.raises(InputError) as error:
        scaling.fit(talks(**changes), [0, 1], rule=rule)
    assert error.value.place == place

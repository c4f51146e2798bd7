import numpy as np
import pytest

from mman_jax.data import scaling, validation
from mman_jax.errors import InputError
from tests.data.small import corpus


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


def test_refusals():
    made = of([[1], [2], [3], [4], [5]])
    with pytest.raises(InputError, match="no training conversations"):
        scaling.fit(made, [])
    fitted = scaling.fit(made, [0])
    with pytest.raises(InputError, match=r"modality b: unknown.*one of a"):
        fitted.apply({"b": made.features["a"]})
    with pytest.raises(InputError, match=r"modality a: .*\(5, 2\).*1 in the last"):
        fitted.apply({"a": np.zeros((5, 2), np.float32)})

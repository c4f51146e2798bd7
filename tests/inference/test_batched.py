import jax
import numpy as np
import pytest

from configs import clstm_lf, mman
from mman_jax.inference import answers
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.batched import Batched
from tests.inference import trained
from tests.inference.test_answerer import LENGTHS, corpus, there


@pytest.mark.parametrize("attention", [True, False])
def test_conversations_of_one_moment_are_answered_as_in_a_file(attention):
    given = corpus()
    models = [trained.model(mman if attention else clstm_lf, seeds=2)]
    batched = Batched(Answerer(models, attention), 4, sizes=(2,))
    expected = models[0].probabilities(given)
    places, found = (3, 0, 2), {}
    for turn in range(max(LENGTHS)):
        now = [c for c in range(3) if turn < LENGTHS[c]]
        rows = [int(given.offsets[c]) + turn for c in now]
        # Of three conversations two are answered in one step and one, padded, in another.
        said = batched.step(
            [places[c] for c in now], [turn == 0] * len(now), [there(given, i) for i in rows]
        )
        found |= dict(zip(rows, said, strict=True))
    ordered = [found[i] for i in range(len(given.labels))]
    np.testing.assert_allclose(
        [list(a.probabilities.values()) for a in ordered], expected, atol=2e-6
    )
    assert [a.label for a in ordered] == answers.combine(models, [expected])[2]
    if attention:
        ours = [[list(keys.values()) for keys in a.attention.values()] for a in ordered]
        np.testing.assert_allclose(ours, models[0].attention(given)[1], atol=1e-6)
    # A place is used again as if nobody had been there.
    again = batched.step([3], [True], [there(given, 0)])[0]
    assert again.probabilities == pytest.approx(ordered[0].probabilities, abs=2e-6)


def test_states_are_those_of_a_single_conversation_and_move_between_places():
    answerer, given = Answerer([trained.model()]), corpus()
    batched = Batched(answerer, 3, sizes=(2,))
    begin = batched.read({"b": 1})["b"]
    jax.tree.map(np.testing.assert_array_equal, begin, answerer.begin())
    after, _ = answerer.step(answerer.begin(), there(given, 0))
    batched.step([1], [True], [there(given, 0)])
    own = batched.read({"b": 1})["b"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), own, after)
    _, expected = answerer.step(after, there(given, 1))
    batched.write(2, after)
    for place in (1, 2):
        (said,) = batched.step([place], [False], [there(given, 1)])
        assert said.probabilities == pytest.approx(expected.probabilities, abs=2e-6)
    jax.tree.map(np.testing.assert_array_equal, batched.read({"a": 0})["a"], begin)


@pytest.mark.parametrize(
    ("waiting", "taken"),
    [(0, 0), (1, 1), (5, 5), (63, 63), (100, 64), (110, 110), (164, 128), (210, 210), (999, 256)],
)
def test_a_large_step_is_not_paid_for_by_few(waiting, taken):
    batched = object.__new__(Batched)
    batched.sizes = (1, 4, 8, 16, 32, 64, 128, 256)
    assert batched.fitting(waiting) == taken

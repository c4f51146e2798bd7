"""Slots for conversations, and the states in them."""

import jax
import numpy as np
import pytest

from mman_jax.inference.answerer import Answerer, combine
from mman_jax.service.slots import Slot, SlotStates, SlotTable
from tests.inference import trained
from tests.inference.test_answerer import numbers, weights
from tests.inference.trained import LENGTHS, corpus, there


def test_conversations_of_one_moment_are_answered_as_in_a_file():
    model, given = trained.model(), corpus()
    states = SlotStates(Answerer([model], attention=True), 4, sizes=(4,))
    slots, found = (3, 0, 2), {}
    for turn in range(max(LENGTHS)):
        now = [c for c in range(3) if turn < LENGTHS[c]]
        rows = [int(given.offsets[c]) + turn for c in now]
        # Three conversations are padded to a step of four.
        said = states.step(
            [slots[c] for c in now], [turn == 0] * len(now), [there(given, i) for i in rows]
        )
        found |= dict(zip(rows, said, strict=True))
    ordered = [found[i] for i in range(len(given.labels))]
    expected = model.probabilities(given)
    np.testing.assert_allclose(numbers(ordered), expected, atol=2e-6)
    assert [a.label for a in ordered] == combine([model], [expected])[2]
    np.testing.assert_allclose(weights(ordered), model.attention(given)[1], atol=1e-6)
    # A slot is used again as if nobody had been there.
    again = states.step([3], [True], [there(given, 0)])[0]
    assert again.probabilities == pytest.approx(ordered[0].probabilities, abs=2e-6)


def state_in(states, slot):
    return jax.tree.map(lambda leaf: leaf[0], states.read([slot]))


def test_states_are_those_of_a_single_conversation_and_move_between_slots():
    answerer, given = Answerer([trained.model()]), corpus()
    states = SlotStates(answerer, 3, sizes=(2,))
    begin = state_in(states, 1)
    jax.tree.map(np.testing.assert_array_equal, begin, states.begin)
    after, _ = answerer.step(answerer.begin(), there(given, 0))
    states.step([1], [True], [there(given, 0)])
    own = state_in(states, 1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), own, (after, 1))
    _, expected = answerer.step(after, there(given, 1))
    states.write([2], (after, 1))
    for slot in (1, 2):
        (said,) = states.step([slot], [False], [there(given, 1)])
        assert said.probabilities == pytest.approx(expected.probabilities, abs=2e-6)
    jax.tree.map(np.testing.assert_array_equal, state_in(states, 0), begin)


def test_an_interim_answer_is_that_of_its_state_and_leaves_it():
    given = corpus()
    states, other = (SlotStates(Answerer([trained.model()]), 3, sizes=(2,)) for _ in range(2))
    for turn, begins in enumerate((True, False)):
        of_a, of_b = there(given, turn), there(given, 6 + turn)
        before = state_in(states, 1)
        (interim,) = states.step([1], [begins], [of_b], interim=[True])
        jax.tree.map(np.testing.assert_array_equal, state_in(states, 1), before)
        expected = other.step([1], [begins], [of_a])
        # The other conversation of the step goes on.
        begin = state_in(states, 2)[1]
        found = states.step([1, 2], [False, begins], [of_a, of_b], interim=[False, True])
        assert state_in(states, 2)[1] == begin
        assert found[0] == expected[0]
        if begins:  # both conversations were at their beginning
            assert found[1].probabilities == pytest.approx(interim.probabilities, abs=2e-6)
        jax.tree.map(np.testing.assert_array_equal, states.read([1]), other.read([1]))


@pytest.mark.parametrize(
    ("waiting", "taken"),
    [(0, 0), (1, 1), (5, 5), (63, 63), (100, 64), (110, 110), (164, 128), (210, 210), (999, 256)],
)
def test_a_large_step_is_not_paid_for_by_few(waiting, taken):
    states = object.__new__(SlotStates)
    states.sizes = (1, 4, 8, 16, 32, 64, 128, 256)
    assert states.step_size(waiting) == taken


def test_the_longest_idle_makes_room_once_it_is_idle_long_enough_and_is_told_so():
    table = SlotTable(2, idle_seconds=10)
    assert table.take("a", 0) == Slot(0, begins=True, forgotten=False)
    assert table.take("b", 1) == Slot(1, begins=True, forgotten=False)
    assert table.take("a", 5) == Slot(0, begins=False, forgotten=False)
    assert table.take("c", 11) is None  # b has been idle for no more than ten seconds
    assert list(table.taken()) == ["b", "a"]
    assert table.take("c", 11.5) == Slot(1, begins=True, forgotten=False)
    assert table.find("b") is None
    assert table.take("b", 16) == Slot(0, begins=True, forgotten=True)
    assert table.take("b", 17) == Slot(0, begins=False, forgotten=False)
    assert table.taken() == {"c": 1, "b": 0}


def test_who_ends_frees_a_place_and_was_not_forgotten():
    table = SlotTable(1, idle_seconds=0)
    table.take("a", 0)
    assert table.take("b", 0) is None  # of the same moment
    assert table.release("a")
    assert not table.release("a")
    assert table.take("b", 0) == Slot(0, begins=True, forgotten=False)
    assert len(table) == 1
    assert table.take("a", 1).forgotten is False
    assert table.take("b", 2).forgotten is True


def test_names_of_those_who_went_are_bounded_and_handed_on_in_their_order():
    table = SlotTable(2, idle_seconds=0)
    for n in range(100):
        table.take(str(n), n)
    assert table.take("0", 200).forgotten is False
    assert table.take("97", 201).forgotten is True
    table, other = SlotTable(2, idle_seconds=0), SlotTable(1, idle_seconds=0)
    for n, name in enumerate("abcd"):
        table.take(name, n)
    other.remember(table.gone)
    assert list(table.gone) == list(other.gone) == ["a", "b"]
    assert "a" in other.gone
    other.release("a")  # who ends did not have to go
    assert list(other.gone) == ["b"]
    other.remember(str(n) for n in range(20))
    assert list(other.gone) == [str(n) for n in range(4, 20)]

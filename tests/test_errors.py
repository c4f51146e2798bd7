import pickle

import pytest

from mman_jax.errors import InputError, nearest


def test_place_found_and_expected_are_in_one_line():
    error = InputError("a.npz: labels", "3\n entries", "4")
    assert str(error) == "a.npz: labels: 3 entries; expected 4"
    assert str(InputError("a", "b")) == "a: b"


def test_errors_can_be_sent_to_another_process():
    error = InputError("a.npz: labels", "3 " * 400, "4")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is InputError
    assert str(copy) == str(error)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x00b", "\ud800", "a\u202eb", "\x07"])
def test_characters_that_control_a_terminal_are_escaped(text):
    message = str(InputError(text, text, text))
    assert message.isprintable()
    assert message.encode().decode() == message
    assert str(InputError("gespräch", "会話")) == "gespräch: 会話"


def test_long_parts_are_shortened_in_the_middle():
    message = str(InputError("/path/" + "n" * 10_000 + "/end", "f" * 10_000, "e" * 10_000))
    assert len(message) < 2000
    assert message.startswith("/path/n")
    assert "n/end: ff" in message
    assert str(InputError("p" * 600, "f" * 600)) == f"{'p' * 600}: {'f' * 600}"
    assert str(InputError("p" * 601, "f")) == f"{'p' * 300} ... {'p' * 300}: f"


def test_nearest_names_the_likely_choice_first():
    assert nearest("tets", ["train", "test"]) == "'test'? (one of train, test)"
    assert nearest("x", ["train", "test"]) == "one of train, test"
    assert nearest("x", []) == "nothing"

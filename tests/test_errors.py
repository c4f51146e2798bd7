import pickle

import pytest

from mman_jax.errors import InputError, nearest


def test_place_found_expected_in_one_line():
    assert (
        str(InputError("a.npz: labels", "3\n entries", "4"))
        == "a.npz: labels: 3 entries; expected 4"
    )
    assert str(InputError("a", "b")) == "a: b"


def test_another_process_gets_the_same_error():
    error = InputError("a.npz: labels", "3 " * 400, "4")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is InputError
    assert str(back) == str(error)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x00b", "\ud800", "a\u202eb", "\x07"])
def test_what_would_steer_a_terminal_is_escaped(text):
    message = str(InputError(text, text, text))
    assert message.isprintable()
    assert message.encode().decode() == message


def test_letters_of_any_language_stay():
    assert str(InputError("gespräch", "会話")) == "gespräch: 会話"


def test_long_parts_are_cut_in_the_middle():
    message = str(InputError("/path/" + "n" * 10_000 + "/end", "f" * 10_000, "e" * 10_000))
    assert len(message) < 2000
    assert message.startswith("/path/n")
    assert "n/end: ff" in message
    assert " ... " in message


def test_nearest_leads_with_what_was_probably_meant():
    assert nearest("tets", ["train", "test"]) == "'test'? (one of train, test)"
    assert nearest("x", ["train", "test"]) == "one of train, test"
    assert nearest("x", []) == "nothing"


def test_what_is_just_not_long_is_not_cut():
    assert str(InputError("p" * 600, "f" * 600)) == f"{'p' * 600}: {'f' * 600}"
    assert str(InputError("p" * 601, "f")) == f"{'p' * 300} ... {'p' * 300}: f"

import json

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference import lines as turns
from tests.data.small import corpus

DIMS = {"speech": 2, "text": 1}


def line(**changes):
    value = {"conversation": "a", "features": {"text": [0.5], "speech": [1, -2.5]}} | changes
    return json.dumps({k: v for k, v in value.items() if v is not None}).encode() + b"\n"


def test_turns_come_one_by_one_in_the_model_s_order():
    taken = []

    def lines():
        for given in (line(), b"\n", line(conversation="b")):
            taken.append(given)
            yield given

    found = turns.read(lines(), DIMS, "stdin")
    first = next(found)
    assert len(taken) == 1
    assert first.conversation == "a"
    assert list(first.features) == ["speech", "text"]
    assert first.features["speech"].tolist() == [1.0, -2.5]
    assert first.features["speech"].dtype == np.float32
    assert next(found).conversation == "b"


def test_a_modality_that_is_left_out_is_missing():
    (found,) = turns.read([line(features={"text": [1]})], DIMS, "stdin")
    assert list(found.features) == ["text"]
    (found,) = turns.read([line(features={})], DIMS, "stdin")
    assert found.features == {}


def test_base64_stands_for_the_same_numbers():
    held = {"text": "AAAAPw==", "speech": "AACAPwAAIMA="}  # 0.5; 1, -2.5
    (found,), (numbers,) = (turns.read([g], DIMS, "stdin") for g in (line(features=held), line()))
    for name, vector in numbers.features.items():
        assert found.features[name].tobytes() == vector.tobytes()


def test_a_turn_may_name_its_speaker():
    (found,) = turns.read([line(speaker="Ann")], DIMS, "stdin")
    (nobody,) = turns.read([line()], DIMS, "stdin")
    assert (found.speaker, nobody.speaker) == ("Ann", "")


def test_a_conversation_ends():
    found = list(turns.read([line(features=None, end=True)], DIMS, "stdin"))
    assert found == [turns.Turn("a", None)]


FEATURES = {"text": [0.5], "speech": [1, 2]}
REFUSED = {
    "no base64": (line(features=FEATURES | {"text": "?"}), ["modality text: no base64"]),
    "half a float": (line(features=FEATURES | {"text": "AAA="}), ["modality text: no base64"]),
    "base64 of more": (line(features=FEATURES | {"text": "AAAAPwAAAD8="}), ["2 features", "the 1"]),
    "base64 of NaN": (line(features=FEATURES | {"text": "AADAfw=="}), ["nan in column 0"]),
    "no JSON": (b"{", ["no JSON"]),
    "no text": (b"\xff\xfe{", ["no JSON"]),
    "deep": (b"[" * 100_000, ["no JSON"]),
    "a list": (b"[]", ["a list"]),
    "a speaker of a number": (line(speaker=3), ["speaker", "printable"]),
    "a speaker without a name": (line(speaker=""), ["speaker", "printable"]),
    "no features": (line(features=None), ["object of 'conversation'"]),
    "an unknown key": (line(label=1), ["'label'"]),
    "an end that is none": (line(features=None, end=False), ["end: False", "true"]),
    "an end of one": (line(features=None, end=1), ["end: 1", "true"]),
    "an end with features": (line(end=True), ["'features', 'end'"]),
    "an end of nobody": (b'{"end": true}', ["object of 'end'"]),
    "a number as id": (line(conversation=1), ["conversation", "int"]),
    "an empty id": (line(conversation=""), ["conversation", "''"]),
    "an id of two lines": (line(conversation="a\nb"), ["conversation"]),
    "a list as features": (line(features=[1]), ["features", "list"]),
    "an unknown modality": (line(features=FEATURES | {"txet": [1]}), ["'txet'", "'text'?"]),
    "a modality that is null": (line(features=FEATURES | {"speech": None}), ["speech", "nothing"]),
    "too few": (line(features=FEATURES | {"speech": [1]}), ["modality speech", "1 features", "2"]),
    "words": (line(features=FEATURES | {"text": ["1"]}), ["modality text", "numbers"]),
    "truths": (line(features=FEATURES | {"text": [True]}), ["modality text", "numbers"]),
    "not finite": (line(features=FEATURES | {"speech": [1, float("nan")]}), ["nan in column 1"]),
    "infinite as float32": (line(features=FEATURES | {"text": [1e300]}), ["inf in column 0"]),
    "a huge integer": (line(features=FEATURES | {"text": [10**400]}), ["integer too large"]),
    "an integer of too many digits": (b'{"conversation": ' + b"1" * 5000 + b"}", ["no JSON"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_number_of_the_line(name):
    content, words = REFUSED[name]
    with pytest.raises(InputError) as error:
        list(turns.read([line(), content], DIMS, "stdin"))
    message = str(error.value)
    assert message.startswith("stdin: line 2")
    for word in words:
        assert word in message


def test_the_lines_of_a_corpus_are_its_utterances():
    here = np.array([True, False, True, True, True, True])
    made = corpus(present={"text": here})
    lines = [line.encode() for line in turns.lines(made)]
    found = list(turns.read(lines, made.dims, "file"))
    assert [turn.conversation for turn in found] == ["c0", "c0", "c1", "c2", "c2", "c2"]
    assert "text" not in found[1].features
    for u, turn in enumerate(found):
        for modality, vector in turn.features.items():
            np.testing.assert_array_equal(vector, made.features[modality][u])

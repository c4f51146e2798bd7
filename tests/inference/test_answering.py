"""A stream of utterances, as a user pipes it."""

import io
import json
import os

import pytest

from mman_jax.errors import InputError
from mman_jax.inference import lines
from mman_jax.inference.answerer import Answerer
from tests.inference import trained
from tests.inference.lines import CALLED, answered, encoded, utterances


@pytest.fixture(scope="module")
def answerer():
    """One for all tests: it compiles once, and holds no conversation."""
    return Answerer([trained.model()])


def test_a_line_in_a_line_out(answerer):
    found = answered(answerer, encoded(utterances()))
    assert [answer["conversation"] for answer in found] == ["c0", "c1"] * 3
    for answer in found:
        assert list(answer) == ["conversation", "label", "probabilities"]
        assert list(answer["probabilities"]) == list(trained.CLASSES)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    # The other conversation's lines change nothing.
    alone = answered(answerer, encoded(u for u in utterances() if u["conversation"] == "c1"))
    assert alone == found[1::2]


class Pipe:
    """Lines that come one by one; before each, something is noted."""

    def __init__(self, given, note):
        self.given, self.note, self.seen = iter(given), note, []

    def readline(self, limit):
        self.seen.append(self.note())
        return next(self.given, b"")


def test_an_answer_is_there_before_the_next_line_is(answerer):
    sink = io.StringIO()
    pipe = Pipe(encoded(utterances(3)), lambda: sink.getvalue().count("\n"))
    lines.answer_lines(answerer, pipe, sink)
    assert pipe.seen == [0, 1, 2, 3]


def test_a_stream_cut_in_two_goes_on_where_it_was(answerer, tmp_path):
    given = encoded(utterances())
    whole = answered(answerer, given)
    kept = tmp_path / "states"
    halves = answered(answerer, given[:3], kept=kept) + answered(answerer, given[3:], kept=kept)
    assert halves == whole
    assert answered(answerer, given[:3]) + answered(answerer, given[3:]) != whole
    assert [path.name for path in tmp_path.iterdir()] == ["states"]
    with pytest.raises(InputError, match="states of another model"):
        answered(Answerer([trained.model(first_seed=5)]), given, kept=kept)


def test_a_conversation_that_is_over_is_forgotten(answerer, tmp_path):
    given = encoded(utterances())
    (end,) = encoded([{"conversation": "c0", "end": True}])
    found = answered(answerer, [end, *given[:4], end, end, *given[4:]], kept=tmp_path / "states")
    assert found[0] == found[5] == found[6] == json.loads(end)
    of = {name: [a for a in found if a["conversation"] == name and "label" in a] for name in CALLED}
    whole = answered(answerer, given)
    assert of["c1"] == whole[1::2]
    assert of["c0"][:2] == whole[:4:2]
    assert of["c0"][2:] == answered(answerer, given[4::2])  # it begins anew
    # What is kept is of one size, whatever has ended.
    several = [dict(u, conversation=f"x{n}") for n, u in enumerate(utterances())]
    ends = [{"conversation": u["conversation"], "end": True} for u in several]
    kept = {name: tmp_path / name for name in ("one", "many")}
    answered(answerer, given[:1], kept=kept["one"])
    answered(answerer, encoded([*several, *ends]) + given[:1], kept=kept["many"])
    assert kept["one"].read_bytes() == kept["many"].read_bytes()


def test_a_bad_line_is_named_and_what_was_before_it_stays(answerer, tmp_path):
    given, sink, kept = encoded(utterances()), io.StringIO(), tmp_path / "states"
    broken = io.BytesIO(b"".join([*given[:3], b"{\n", *given[3:]]))
    with pytest.raises(InputError, match=r"^stdin: line 4: no JSON"):
        lines.answer_lines(answerer, broken, sink, kept)
    before = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert before + answered(answerer, given[3:], kept=kept) == answered(answerer, given)


def test_attention_is_told_where_it_is_asked_for():
    found = answered(Answerer([trained.model()], attention=True), encoded(utterances()))
    for answer in found:
        assert list(answer["attention"]) == list(trained.DIMS)
        for weights in answer["attention"].values():
            assert sum(weights.values()) == pytest.approx(1, abs=3e-6)
    assert found[3]["attention"]["speech"] == {"speech": 1.0, "text": 0.0}


def test_a_place_for_states_that_cannot_be_written_is_said_first(answerer, tmp_path):
    with pytest.raises(InputError, match="a folder; expected the path of a file"):
        answered(answerer, [], kept=tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe; expected the path of a file"):
        answered(answerer, [], kept=tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    sink = io.StringIO()
    with pytest.raises(InputError, match="cannot be written"):
        lines.answer_lines(answerer, io.BytesIO(), sink, tmp_path / "file" / "states")


def test_what_is_saved_is_told_and_a_killed_stream_goes_on_from_there(answerer, tmp_path):
    given, kept, sink = encoded(utterances()), tmp_path / "states", io.StringIO()
    (end,) = encoded([{"conversation": "other", "end": True}])
    pipe = Pipe([*given[:2], end, *given[2:]], kept.read_bytes)  # what a kill would leave
    lines.answer_lines(answerer, pipe, sink, kept, every=0)
    found = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [answer.get("saved") for answer in found] == [None, 1, None, 3, 4, 5, 6]
    assert found[2] == json.loads(end)  # as it came
    plain = [{k: v for k, v in a.items() if k != "saved"} for a in found if "label" in a]
    assert plain == answered(answerer, given)
    kept.write_bytes(pipe.seen[4])  # killed once the fourth line was answered
    assert answered(answerer, given[3:], kept=kept) == plain[3:]


def test_between_two_saves_nothing_is_written(answerer, tmp_path, monkeypatch):
    clock, saves = iter(range(0, 1000, 4)), []
    monkeypatch.setattr(lines.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(lines, "write_states", lambda *_: saves.append(len(saves)))
    sink = io.StringIO()
    source = io.BytesIO(b"".join(encoded(utterances())))
    lines.answer_lines(answerer, source, sink, tmp_path / "states")
    found = [json.loads(line).get("saved") for line in sink.getvalue().splitlines()]
    assert found == [None, None, None, 3, None, None]
    assert len(saves) == 4  # at the start, after the third and the sixth, and at the end


def test_an_answer_that_cannot_be_written_is_said_and_is_not_counted(answerer, tmp_path):
    given, kept = encoded(utterances()), tmp_path / "states"
    answered(answerer, given[:2], kept=kept)
    before = kept.read_bytes()

    class Full(io.StringIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    end = encoded([{"conversation": "c0", "end": True}])
    for line in (*given[2:3], *end):
        with pytest.raises(InputError, match=r"answers: cannot be written \(No space left"):
            lines.answer_lines(answerer, io.BytesIO(line), Full(), kept)
        assert kept.read_bytes() == before


def test_a_line_without_end_is_refused_before_it_is_all_read(answerer, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 100)
    endless = io.BytesIO(b"1" * 100_000)
    with pytest.raises(InputError, match=r"line 1: 101 bytes; expected at most 100"):
        lines.answer_lines(answerer, endless, io.StringIO())
    assert endless.tell() == 101

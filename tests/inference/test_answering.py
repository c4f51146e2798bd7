"""A stream of utterances, as a user pipes it."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference import answering
from mman_jax.inference.answerer import Answerer
from tests.experiments.terminal.test_command import ROOT, run
from tests.inference import trained


@pytest.fixture(scope="module")
def answerer():
    """One for all tests: it compiles once, and holds no conversation."""
    return Answerer([trained.model()])


CALLED = ("c0", "c1")


def utterances(count=6):
    random = np.random.default_rng(0)
    for i in range(count):
        features = {m: random.normal(size=d).tolist() for m, d in trained.DIMS.items()}
        if i == 3:
            del features["text"]
        yield {"conversation": CALLED[i % 2], "features": features}


def encoded(items):
    return [json.dumps(item).encode() + b"\n" for item in items]


def answered(answerer, given, kept=None):
    sink = io.StringIO()
    answering.answer_lines(answerer, io.BytesIO(b"".join(given)), sink, kept)
    return [json.loads(line) for line in sink.getvalue().splitlines()]


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


def test_an_answer_is_there_before_the_next_line_is(answerer):
    sink, seen = io.StringIO(), []

    class Pipe:
        def __init__(self):
            self.given = iter(encoded(utterances(3)))

        def readline(self, limit):
            seen.append(sink.getvalue().count("\n"))
            return next(self.given, b"")

    answering.answer_lines(answerer, Pipe(), sink)
    assert seen == [0, 1, 2, 3]


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
        answering.answer_lines(answerer, broken, sink, kept=kept)
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
    with pytest.raises(InputError, match="unreadable"):
        answered(answerer, [], kept=tmp_path)
    (tmp_path / "file").write_text("")
    sink = io.StringIO()
    with pytest.raises(InputError, match="cannot be written"):
        answering.answer_lines(answerer, io.BytesIO(), sink, kept=tmp_path / "file" / "states")


def test_a_line_without_end_is_refused_before_it_is_all_read(answerer, monkeypatch):
    monkeypatch.setattr(answering.turns, "LONGEST", 100)
    endless = io.BytesIO(b"1" * 100_000)
    with pytest.raises(InputError, match=r"line 1: 101 bytes; expected at most 100"):
        answering.answer_lines(answerer, endless, io.StringIO())
    assert endless.tell() == 101


@pytest.fixture(scope="module")
def finished(answerer, tmp_path_factory):
    """The folder of a run, as far as predictions need it."""
    workdir = tmp_path_factory.mktemp("run")
    answerer.models[0].save(workdir / "model" / "auto")
    scores = {"per_seed": [0.5], "mean": 0.5, "std": 0.0}
    part = dict.fromkeys(("accuracy", "unweighted_recall", "weighted_f1"), scores)
    head = {"system": "mman", "protocol": "auto", "seeds": [0], "parameters": {"total": 1}}
    head |= {"corpus": {"path": "x", "dimensions": trained.DIMS}, "classes": [*trained.CLASSES]}
    part |= {"confusion": [[1] * 3] * 3, "majority_accuracy": 0.5}
    head |= dict.fromkeys(("validation", "test", "test_oracle"), part) | {"towers": {}}
    (workdir / "results.json").write_text(json.dumps(head | {"seconds": {}, "best_epoch": {}}))
    return workdir


def test_the_command_answers_while_its_input_is_open(answerer, finished):
    command = [sys.executable, "-m", "experiments.predict", f"--checkpoint={finished}", "--stream"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    given = encoded(utterances(2))
    process.stdin.write(given[0])
    process.stdin.flush()
    first = json.loads(process.stdout.readline())
    rest, errors = process.communicate(given[1] + b"[]\n", timeout=300)
    expected = answered(answerer, given)
    for found, answer in zip((first, json.loads(rest)), expected, strict=True):
        assert found["conversation"] == answer["conversation"]
        assert found["probabilities"] == pytest.approx(answer["probabilities"], abs=5e-6)
    assert process.returncode == 2
    assert errors.decode().startswith("error: stdin: line 3: a list")
    assert len(errors.decode().strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--stream", "--input=a.npz"], "--input: given with --stream"),
        (["--output=a.csv"], "--input: not given"),
        (["--input=a.npz", "--output=a.csv", "--state=s"], "--state: given without --stream"),
    ],
    ids=str,
)
def test_flags_that_do_not_go_together(flags, said, tmp_path):
    ended = run("experiments.predict", f"--checkpoint={tmp_path}", *flags)
    assert ended.returncode == 2
    assert said in ended.stderr

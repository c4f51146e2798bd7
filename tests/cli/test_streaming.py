"""Predictions of a stream of utterances: `mman predict --stream`."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from mman_jax.inference.answerer import Answerer
from tests import children
from tests.children import ROOT
from tests.inference import trained
from tests.inference.lines import answered, encoded, utterances
from tests.robustness import examples

pytestmark = pytest.mark.e2e

COMMAND = "-m experiments.predict --stream --checkpoint="


@pytest.fixture(scope="module")
def answerer():
    """Compiles once for all tests and holds no conversation."""
    return Answerer([trained.model()])


@pytest.fixture(scope="module")
def finished(answerer, tmp_path_factory):
    """The folder of a run, as far as predictions need it."""
    workdir = tmp_path_factory.mktemp("run")
    answerer.models[0].save(workdir / "model" / "auto")
    (results, *_) = (json.loads(files["results.json"]) for files in examples.runs())
    (workdir / "results.json").write_text(json.dumps(results | {"protocol": "auto"}))
    return workdir


@pytest.fixture
def stream(finished):
    """Starts the command with pipes."""

    def start(*flags):
        command = [sys.executable, *f"{COMMAND}{finished}".split(), *flags]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(command, cwd=ROOT, env=children.environment(), **pipes)

    return start


def talk(process, lines):
    """Writes lines; returns the answer to each one before the next is written."""
    answers = []
    for line in lines:
        process.stdin.write(line)
        process.stdin.flush()
        answers.append(json.loads(process.stdout.readline()))
    return answers


def assert_equal(answers, expected):
    for answer, other in zip(answers, expected, strict=True):
        assert answer["conversation"] == other["conversation"]
        assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=5e-6)


def test_answers_come_while_the_input_is_open(answerer, stream):
    process, lines = stream(), encoded(utterances(2))
    answers = talk(process, lines)
    _, errors = process.communicate(b"[]\n", timeout=300)
    assert_equal(answers, answered(answerer, lines))
    assert process.returncode == 2
    (line,) = errors.decode().splitlines()
    assert line.startswith("error: stdin: line 3: a list")


def test_killed_streams_leave_their_last_saved_states(answerer, stream, tmp_path):
    saved, lines = tmp_path / "states", encoded(utterances())
    process = stream(f"--state={saved}", "--state_seconds=0")
    assert [answer.get("saved") for answer in talk(process, lines[:3])] == [None, 1, 2]
    process.kill()
    process.communicate()
    with np.load(saved) as file:
        states = dict(file)
    card = json.loads(str(states.pop("card")))
    assert card["conversations"] == ["c0", "c1"]
    # The third utterance was just answered, and its state may be saved or not.
    close = []
    for number in (2, 3):
        other = tmp_path / str(number)
        answered(answerer, lines[:number], kept=other)
        with np.load(other) as file:
            close.append(all(np.allclose(states[k], file[k], atol=1e-5) for k in states))
    assert any(close)


def test_sigterm_saves_states_also_while_waiting_for_a_line(answerer, stream, tmp_path):
    saved, lines = tmp_path / "states", encoded(utterances())
    process = stream(f"--state={saved}")
    talk(process, lines[:3])
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert errors.decode() == "stopped by SIGTERM; the same command resumes from here\n"
    assert_equal(answered(answerer, lines[3:], kept=saved), answered(answerer, lines)[3:])


@pytest.mark.parametrize(
    ("redirection", "found"),
    [
        ("<&-", "error: stdin: closed"),
        (">&-", "error: stdout: closed"),
        (">/dev/full", "error: answers: cannot be written (No space left on device)"),
    ],
)
def test_closed_and_full_streams_are_refused(finished, redirection, found):
    command = ["bash", "-c", f'"$0" {COMMAND}{finished} {redirection}', sys.executable]
    ended = subprocess.run(
        command, input=encoded(utterances(1))[0], cwd=ROOT, env=children.environment(),
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 2
    (line,) = ended.stderr.decode().splitlines()
    assert line.startswith(found)

"""Scores by group, from answers."""

import numpy as np

from mman_jax.cli.terminal.screen import detail_tables
from mman_jax.trial import results
from tests.data.small import corpus

GIVEN = corpus(
    speakers=("A", "B", "A", "A", "B", "C"),
    sessions=("S1", "S1", "S2"),
    groups={"gender": tuple("fmffmf")},
)


def test_utterances_have_the_groups_of_their_place():
    found = results.groups_of(GIVEN, GIVEN.utterances_of([2, 0]))
    assert {name: "".join(values) for name, values in found.items()} == {
        "groups/gender": "fmffm",
        "groups/session": "S2S2S2S1S1",
        "groups/speaker": "ABCAB",
    }
    assert results.groups_of(corpus(), np.arange(1)) == {}


def test_scores_of_groups():
    utterances = {
        "label": [0, 1, 1, 0, 1, 1],
        "conversation": list("aabbcc"),
        "position": [0, 1] * 3,
        "groups/gender": list("fmfmff"),
        "groups/speaker": list("ABCDEE"),
    }
    answers = np.array([[0, 1, 1, 1, 0, 1], [0, 0, 1, 0, 1, 1]])
    found = results.group_scores(answers, utterances, 2)
    assert list(found) == ["gender", "speaker"]
    female = found["gender"]["groups"]["f"]
    assert (female["utterances"], female["conversations"]) == (4, 3)
    assert female["accuracy"]["per_seed"] == [3 / 4, 1]
    np.testing.assert_allclose(female["unweighted_recall"]["per_seed"], [(1 + 2 / 3) / 2, 1])
    gap = found["gender"]["gap"]
    assert (gap["first"], gap["second"], gap["difference"]) == ("f", "m", 7 / 8 - 2 / 4)
    assert found["speaker"]["gap"] is None
    assert found["speaker"]["left_out"] == list("ABCDE")
    hidden = results.anonymous(found)
    assert hidden["gender"] == found["gender"]
    assert list(hidden["speaker"]["groups"]) == [f"speaker {i}" for i in range(1, 6)]
    assert hidden["speaker"]["left_out"] == list(hidden["speaker"]["groups"])
    session = results.anonymous({"session": found["gender"]})["session"]
    assert (session["gap"]["first"], session["gap"]["second"]) == ("session 1", "session 2")
    scores = {"test": {}, "groups": found}
    (gender, speaker) = detail_tables(scores)
    assert gender[2][-1][0] == "gap: f over m"
    assert gender[2][-1][1].startswith("+37.5 (")
    assert speaker[0] == "test, by speaker; 5 with one conversation are not in the gap"

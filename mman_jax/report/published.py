"""The paper's own figures (Pan, Luo, Yang and Li, Interspeech 2020) and what they measured."""

from mman_jax.data.protocols import EMOTIONS, TABLE_1
from mman_jax.systems import SYSTEMS, mman

_PAPER = {
    name: paper.published for name, paper in mman.papers(("speech",)).items() if paper.published
}
TABLE_2 = {name: (of["iemocap"][0], of["parameters"][0]) for name, of in _PAPER.items()}
"""Accuracy in per cent and parameters in millions; visual and text alone are not given."""

TASKS = ("happy", "sad", "neutral", "angry")
TABLE_3 = {name: of["binary4"] for name, of in _PAPER.items() if "binary4" in of}
"""Accuracy of each of the TASKS in per cent, of 943 utterances."""

TABLE_3_CITED = {
    name: kind.paper.published["binary4"]
    for name, kind in SYSTEMS.items()
    if kind.paper and "binary4" in kind.paper.published
}
CITED = {name: SYSTEMS[name].paper.cited_as or SYSTEMS[name].paper.title for name in TABLE_3_CITED}
ALL_NO_PAPER = ("84.73", "74.02", "59.28", "81.97")
ALL_NO_CITED = ("84.95", "79.58", "59.58", "75.89")
"""Always answering "no": on the paper's 943 test utterances, and on the 950 that IEMOCAP's labels
give to these four emotions in session 1, the cited systems' test session."""

TABLE_3_FOOTNOTES = (
    "The cited figures were measured on another split and other features: RAVEN's public loader "
    "trains on sessions 3 to 5, validates on 2 and tests on 1 (938 utterances), on word-aligned "
    "GloVe, FACET and COVAREP features; MulT says that it follows RAVEN; for MFM and FMT it is "
    "likely, not verified. They are not comparable with the paper's, nor with ours.",
    "Always “no” is counted over the 950 utterances that IEMOCAP's labels give to the four "
    "emotions in session 1; the word-aligned file of 938 lacks 12 of them.",
    "FMT and MFM: by their public scripts the best test value of each emotion, over the epochs "
    "(FMT) or over all runs of a random search (MFM). MulT: the epoch of the lowest validation "
    "loss.",
    "RAVEN: its 86.2 could not be confirmed; in its public code the nonverbal branch gets no "
    "gradient.",
)

TABLE_4 = (
    (
        "Rozgic et al. 2012",
        "69.4",
        "trees of SVMs, an utterance at a time; words from a speech recogniser, faces from motion "
        "capture; only its abstract could be read",
    ),
    (
        "Poria et al. 2018",
        "71.59",
        "a fixed split of speakers; which of the three systems that it describes is open. The "
        "paper implies a bi-directional LSTM, which sees the utterances that follow",
    ),
    (
        "Tripathi and Beigi 2018",
        "71.04",
        "an utterance at a time; motion capture; angry, excited, neutral and sad. 780 of 1098, the "
        "best of 20 epochs on the test session itself; its last epoch had 66.85",
    ),
    (
        "MMAN, the paper's",
        "73.94",
        "1200 of 1623 utterances of IEMOCAP's session 5; speech, visual, text; sees no future",
    ),
)
"""System, accuracy in per cent, what was measured."""

ON_IEMOCAP_CITED = {
    name: kind.paper.published["iemocap"][0]
    for name, kind in SYSTEMS.items()
    if kind.paper and "iemocap" in kind.paper.published
}
ON_IEMOCAP = {name: accuracy for name, (accuracy, _) in TABLE_2.items()} | ON_IEMOCAP_CITED
"""Accuracy of several classes in per cent, as the paper gives it, by the name of a system here."""

WA_UA = (
    "As in most work on IEMOCAP: WA, weighted accuracy, is the share of right answers; UA, "
    "unweighted accuracy, is the mean of the classes' recalls."
)

_MERGED = {"happy": ("happy", "excited"), "sad": ("sad", "frustrated")}


def table_1(protocol: str, name: str, part: str) -> int | None:
    """The paper's count of a class in its "train" or "test" part; None for any other class."""
    if protocol not in ("mman4", "iemocap6") or name not in EMOTIONS:
        return None
    emotions = _MERGED.get(name, (name,)) if protocol == "mman4" else (name,)
    return sum(TABLE_1[part][EMOTIONS.index(emotion)] for emotion in emotions)

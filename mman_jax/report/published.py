"""Published figures of the paper (Pan, Luo, Yang and Li, Interspeech 2020) and its citations."""

from mman_jax.data.label_names import EMOTIONS, TABLE_1
from mman_jax.report.document import Cell, Table
from mman_jax.report.phrases import (
    Results,
    count,
    headline,
    interval,
    milliseconds,
    of_group,
    p_value,
    place,
    seconds,
    span,
    title,
)
from mman_jax.systems import SYSTEMS, mman
from mman_jax.tasks.score import NONE, points, spread

_PAPER = {
    name: paper.published for name, paper in mman.papers(("speech",)).items() if paper.published
}
TABLE_2 = {name: (of["iemocap"][0], of["parameters"][0]) for name, of in _PAPER.items()}
"""Accuracy in per cent and parameters in millions; the paper has none for visual or text alone."""

TASKS = ("happy", "sad", "neutral", "angry")
TABLE_3 = {name: of["binary4"] for name, of in _PAPER.items() if "binary4" in of}
"""Accuracy in per cent for each of the TASKS, on 943 utterances."""

_CITED = {name: kind.paper for name, kind in SYSTEMS.items() if kind.paper}
TABLE_3_CITED = {
    name: paper.published["binary4"]
    for name, paper in _CITED.items()
    if "binary4" in paper.published
}
CITED = {name: _CITED[name].cited_as or _CITED[name].title for name in TABLE_3_CITED}
ALL_NO_PAPER = ("84.73", "74.02", "59.28", "81.97")
ALL_NO_CITED = ("84.95", "79.58", "59.58", "75.89")
"""Accuracies of always answering "no": on the paper's 943 test utterances, and on the 950 of
session 1 (the cited systems' test session) whose label is one of these four emotions."""

TABLE_3_FOOTNOTES = (
    "The cited figures were measured on another split and other features: RAVEN's public loader "
    "trains on sessions 3 to 5, validates on 2 and tests on 1 (938 utterances), on word-aligned "
    "GloVe, FACET and COVAREP features; MulT says that it follows RAVEN; for MFM and FMT this "
    "is likely, but not verified. They are not comparable with the paper's, nor with ours.",
    "Always “no” refers to the 950 utterances of session 1 that IEMOCAP labels with the four "
    "emotions; the word-aligned file has 938 of them.",
    "FMT and MFM: by their public scripts the best test value of each emotion, over the epochs "
    "(FMT) or over all runs of a random search (MFM). MulT: the epoch of the lowest validation "
    "loss.",
    "RAVEN: the 86.2 could not be confirmed; in the public code the nonverbal branch gets no "
    "gradient.",
)

TABLE_4 = (
    (
        "Rozgic et al. 2012",
        "69.4",
        "trees of SVMs on single utterances; words from a speech recogniser, faces from motion "
        "capture; only its abstract could be read",
    ),
    (
        "Poria et al. 2018",
        "71.59",
        "a fixed split of speakers; it is unclear which of its three systems is meant. The "
        "paper implies a bi-directional LSTM, which sees the utterances that follow",
    ),
    (
        "Tripathi and Beigi 2018",
        "71.04",
        "single utterances; motion capture; angry, excited, neutral and sad. 780 of 1098, the "
        "best of 20 epochs on the test session itself; its last epoch had 66.85",
    ),
    (
        "MMAN, the paper's",
        "73.94",
        "1200 of 1623 utterances of IEMOCAP's session 5; speech, visual, text; no later utterances",
    ),
)
"""System, accuracy in per cent, and a description of the measurement."""

ON_IEMOCAP_CITED = {
    name: paper.published["iemocap"][0]
    for name, paper in _CITED.items()
    if "iemocap" in paper.published
}
"""Multi-class accuracy in per cent according to the paper, by the system's name."""

WA_UA = (
    "As in most work on IEMOCAP: WA, weighted accuracy, is the share of right answers; UA, "
    "unweighted accuracy, is the mean of the classes' recalls."
)

_MERGED = {"happy": ("happy", "excited"), "sad": ("sad", "frustrated")}


def table_1(protocol: str, name: str, part: str) -> int | None:
    """Returns the paper's count of a class in part "train" or "test"; None for other classes."""
    if protocol not in ("mman4", "iemocap6") or name not in EMOTIONS:
        return None
    emotions = _MERGED.get(name, (name,)) if protocol == "mman4" else (name,)
    return sum(TABLE_1[part][EMOTIONS.index(emotion)] for emotion in emotions)


_PAPERS = mman.papers(("speech", "visual", "text")) | _CITED
ABOUT = ("year", "reads", "published, per cent", "their epoch")
"""Columns about a system, see `about`."""

_FOURS = (*ON_IEMOCAP_CITED, mman.CLSTM_LF, mman.NAME)
"""The systems of Table 4 that can be trained here."""


def about(name: str, sees: Results | None) -> tuple[str, str, str, str]:
    """Writes the year of a system, what it reads, its published scores and their epoch.

    Args:
        name: name of its config.
        sees: see `mman_jax.trial.results.sees`; None for results of an earlier version.
    """
    paper = _PAPERS.get(name)
    found = (paper.year, paper.scores or NONE) if paper else (NONE, NONE)
    epoch = paper.selection if paper and paper.scores else NONE
    return found[0], reads(sees) if sees else NONE, found[1], epoch


def reads(sees: Results) -> str:
    """Writes what a system reads.

    Examples:
        >>> reads({"cells": "utterances", "speakers": True, "context": True, "future": False})
        'utterances, speakers, earlier turns'
    """
    what = [sees["cells"], *(["speakers"] if sees.get("speakers") else [])]
    what += ["earlier turns"] * bool(sees["context"]) + ["later turns"] * bool(sees["future"])
    return ", ".join(what)


def is_comparable(results: Results) -> bool:
    """Returns whether the results have accuracies, as all published figures are."""
    return headline(results).key == "accuracy"


def cited_tasks() -> Table:
    """Builds the table of the systems that the paper's Table 3 cites."""
    rows = [(CITED[name], *of) for name, of in TABLE_3_CITED.items()]
    rows.append(("always “no”, session 1", *ALL_NO_CITED))
    return Table(
        "cited_tasks",
        "Systems cited in the paper's Table 3: accuracy in per cent, with another split and other "
        "features.",
        ("system", *TASKS),
        tuple(rows),
        notes=TABLE_3_FOOTNOTES,
    )


def cited(results: Results) -> Table:
    """Builds Table 4: the paper's comparison of four-class systems, and those trained here."""
    rows = [(name, accuracy, measurement) for name, accuracy, measurement in TABLE_4]
    where = f"{place(results)}, protocol {results['protocol']}"
    for name in _FOURS:
        if name in results["systems"]:
            test = results["systems"][name]["test"]
            measurement = f"{len(results['utterances']['position'])} utterances of {where}"
            rows.append((f"{title(results, name)}, here", spread(test["accuracy"]), measurement))
    return Table(
        "cited",
        "Table 4: the figures that the paper compares, and those measured here.",
        ("system", "accuracy", "measurement"),
        tuple(rows),
        words=(0, 2),
        notes=(
            "No published figure can be compared with another one. A fair comparison needs one "
            "corpus, one split and the same features, as in the figures measured here.",
        ),
    )


def together(results: Results) -> tuple[Table, ...]:
    """Builds the tables of the paper's systems and the cited ones, if there are any."""
    others = of_group(results, "cited")
    if not others:
        return ()
    chosen = of_group(results, "paper") | others | of_group(results, "baseline")
    best = max(system["test"]["accuracy"]["mean"] for system in chosen.values())
    against = {c["second"]: c for c in results["comparisons"] if c["first"] == mman.NAME}
    against |= {
        c["first"]: c | {"difference": -c["difference"]}
        for c in results["comparisons"]
        if c["second"] == mman.NAME
    }
    rows, described = [], []
    for name, system in chosen.items():
        test, compared = system["test"], against.get(name)
        accuracy = spread(test["accuracy"])
        year, read, scores, epoch = about(name, system.get("sees"))
        rows.append(
            (
                system["title"],
                count(len(test["accuracy"]["per_seed"])),
                Cell(accuracy, "strong") if test["accuracy"]["mean"] == best else accuracy,
                span(interval(system, "accuracy")),
                spread(test["unweighted_recall"]),
                spread(test["weighted_f1"]),
                points(compared["difference"]) if compared else NONE,
                p_value(compared["p_bootstrap"]) if compared else NONE,
                seconds(system["seconds"]),
                milliseconds(system.get("answering")),
            )
        )
        size = count(system["parameters"]["total"])
        described.append((system["title"], year, read, size, accuracy, scores, epoch))
    table = Table(
        "together",
        f"The paper's systems and those that it cites, all on {place(results)}: one split, the "
        "same features. Scores of the test part in per cent, mean ± deviation over the seeds; in "
        "bold the highest mean.",
        ("system", "seeds", "accuracy", "95 % interval",
         "unweighted recall", "weighted F1", "MMAN's lead, points", "p", "seconds to train",
         "milliseconds per answer"),
        tuple(rows),
        notes=(
            "Systems over words were published for the words of single utterances; here they read "
            "utterances, as in papers about conversations.",
            "Seconds to train include all seeds and towers. The time of an answer is that of one "
            "seed for one utterance, if a full part is predicted at once after compilation. Other "
            "work on the machine affects both. Rozgic's parameters are its stored utterances.",
        ),
    )  # fmt: skip
    about_systems = Table(
        "about_systems",
        "What the systems read, their accuracy here, and the published scores, which are of other "
        "data, splits, classes and selection.",
        ("system", *ABOUT[:2], "parameters", "accuracy here", *ABOUT[2:]),
        tuple(described),
        words=(0, 1, 2, 5, 6),
    )
    return table, about_systems

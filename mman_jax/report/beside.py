"""Other work: what the paper cites of it, and what is measured of it here."""

from mman_jax.report import published
from mman_jax.report.document import Cell, Table
from mman_jax.report.numbers import (
    NONE,
    count,
    milliseconds,
    p_value,
    points,
    seconds,
    span,
    spread,
)  # fmt: skip
from mman_jax.report.tables import Results, of_group, place, title
from mman_jax.systems import mman

_CONTEXT = {
    (False, False): "none",
    (True, False): "before it",
    (True, True): "before and after it",
}
_FOURS = (*published.ON_IEMOCAP_CITED, mman.CLSTM_LF, mman.NAME)
"""The systems of Table 4 that can be trained here."""


def cited_tasks() -> Table:
    """The systems that the paper's Table 3 cites."""
    rows = [(published.CITED[name], *of) for name, of in published.TABLE_3_CITED.items()]
    rows.append(("always “no”, session 1", *published.ALL_NO_CITED))
    return Table(
        "cited_tasks",
        "What the paper's Table 3 cites: accuracy in per cent, another split and other features.",
        ("system", *published.TASKS),
        tuple(rows),
        notes=published.TABLE_3_FOOTNOTES,
    )


def cited(results: Results) -> Table:
    """Table 4: the paper's comparison of four-class systems, and those trained here."""
    rows = [(name, accuracy, what) for name, accuracy, what in published.TABLE_4]
    where = f"{place(results)}, protocol {results['protocol']}"
    for name in _FOURS:
        if name in results["systems"]:
            test = results["systems"][name]["test"]
            what = f"{len(results['utterances']['position'])} utterances of {where}"
            rows.append((f"{title(results, name)}, here", spread(test["accuracy"]), what))
    return Table(
        "cited",
        "Table 4: the figures that the paper compares, beside those measured here.",
        ("system", "accuracy", "what was measured"),
        tuple(rows),
        words=(0, 2),
        notes=(
            "No published figure can be compared with another one. A fair comparison has one "
            "corpus, one split and the same features: what was measured here.",
        ),
    )


def together(results: Results) -> Table | None:
    """The paper's systems and those that it cites, on one corpus; None where these are missing."""
    others = of_group(results, "cited")
    if not others:
        return None
    chosen = of_group(results, "paper") | others
    best = max(system["test"]["accuracy"]["mean"] for system in chosen.values())
    against = {c["second"]: c for c in results["comparisons"] if c["first"] == mman.NAME}
    against |= {
        c["first"]: c | {"difference": -c["difference"]}
        for c in results["comparisons"]
        if c["second"] == mman.NAME
    }
    rows = []
    for name, system in chosen.items():
        test, compared = system["test"], against.get(name)
        accuracy = spread(test["accuracy"])
        sees = system.get("sees")
        rows.append(
            (
                system["title"],
                sees["cells"] if sees else NONE,
                _CONTEXT[bool(sees["context"]), bool(sees["future"])] if sees else NONE,
                count(system["parameters"]["total"]),
                count(len(test["accuracy"]["per_seed"])),
                Cell(accuracy, "strong") if test["accuracy"]["mean"] == best else accuracy,
                span(system["interval"]),
                spread(test["unweighted_recall"]),
                spread(test["weighted_f1"]),
                points(compared["difference"]) if compared else NONE,
                p_value(compared["p_bootstrap"]) if compared else NONE,
                seconds(system["seconds"]),
                milliseconds(system.get("answering")),
                published.ON_IEMOCAP.get(name, NONE),
            )
        )
    return Table(
        "together",
        f"The paper's systems and those that it cites, all on {place(results)}: one split, the "
        "same features. Scores of the test part in per cent, mean ± deviation over the seeds; in "
        "bold the highest mean.",
        ("system", "reads", "context", "parameters", "seeds", "accuracy", "95 % interval",
         "unweighted recall", "weighted F1", "MMAN's lead, points", "p", "seconds to train",
         "milliseconds an answer", "published, on IEMOCAP"),
        tuple(rows),
        words=(0, 1, 2),
        notes=(
            "Published accuracies are of other data, splits, classes and selection; Table 3's "
            "systems have none of several classes.",
            "Systems over words were published for the words of single utterances: read over "
            "utterances they are what the conversation papers make of them.",
            "Seconds to train are those of all seeds, towers included. An answer's time is one "
            "seed's, an utterance of whole parts answered together, after compilation; other work "
            "on the machine shows in both. Rozgic's parameters are the utterances that it keeps.",
        ),
    )  # fmt: skip

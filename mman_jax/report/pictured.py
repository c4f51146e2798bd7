"""The sections of the report that are pictures, each with its caption."""

from mman_jax.report import analyses, figures, tables
from mman_jax.report import attention as maps_of_attention
from mman_jax.report import confusion as matrices
from mman_jax.report.document import Block, Figure
from mman_jax.report.numbers import listed
from mman_jax.report.tables import Results

Blocks = tuple[Block, ...]


def mark(results: Results) -> str:
    """What is written across pictures; nothing where the corpus is real."""
    return "SYNTHETIC corpus" if results["synthetic"] is not None else ""


def confusion(results: Results) -> Blocks:
    """What is taken for what."""
    systems = tables.of_group(results, "paper").values()
    if not systems:
        return ()
    counts = {system["title"]: system["test"]["confusion"] for system in systems}
    png = matrices.confusions(counts, results["classes"], mark(results))
    figure = Figure(
        "confusion",
        "Figure 3: normalised confusion matrices of the test part, all seeds summed. Each row is a "
        "true class; the diagonal holds the recalls, in per cent.",
        f"Confusion matrices of {listed(list(counts))}.",
        png,
    )
    return figure, tables.confusion_counts(results)


def positions(results: Results) -> Blocks:
    """Scores by the utterance's place in its conversation."""
    bins, numbers = analyses.bin_names(results), bool(results.get("targets"))
    lines = {
        tables.title(results, name): shares
        for name, shares in results["positions"]["mae" if numbers else "accuracy"].items()
        if name in tables.of_group(results, "paper")
    }
    if not bins or not lines:
        return ()
    what = "mean absolute error" if numbers else "accuracy"
    figure = Figure(
        "positions",
        f"Test {what} by the utterance's place in its conversation: what the utterances before it "
        "are worth.",
        f"A line a system over the places {listed(bins)}.",
        figures.positions(bins, lines, mark(results), _unit(results)),
    )
    return (figure,) if numbers else (figure, analyses.positions(results))


def attention(results: Results) -> Blocks:
    """What each modality attended to: over the test part, and through one conversation."""
    blocks = []
    for name, system in tables.of_group(results, "paper").items():
        kept = system["attention"]
        if kept is None:
            continue
        title, modalities, talk = system["title"], kept["modalities"], kept["conversation"]
        maps = {"all utterances": kept["mean"], **kept["by_class"]}
        slug, numbers = tables.identifier(name), not kept["by_class"]
        each = "" if numbers else " and by true class"
        blocks += [
            Figure(
                f"attention_{slug}",
                f"{title}: mean attention weights over the test part, of all utterances{each}. "
                "Each row is a query and sums to one.",
                f"Attention of {title} between {listed(modalities)}, one map for all utterances"
                + ("." if numbers else " and one a class."),
                maps_of_attention.by_class(modalities, maps, mark(results)),
            ),
            Figure(
                f"conversation_{slug}",
                f"{title}: attention weights through conversation {talk['id']}, a map a query, "
                "with labels and answers beneath.",
                f"Attention of {title} by utterance of one conversation of {len(talk['labels'])}.",
                maps_of_attention.through_time(
                    modalities,
                    talk["weights"],
                    talk["labels"],
                    talk["answers"],
                    () if numbers else results["classes"],
                    mark(results),
                ),
            ),
        ]
    return tuple(blocks)


def curves(results: Results) -> Blocks:
    """The learning curves of systems and their towers."""
    heads = []
    for system in tables.of_group(results, "paper").values():
        for name, curve in system["curves"].items():
            tower = system["towers"].get(name)
            own = len(system["curves"]) == 1 or tower is None
            title = system["title"] if own else f"{system['title']}: {name}"
            heads.append(figures.Panel(title, curve, (tower or system)["best_epoch"]))
    if not heads:
        return ()
    caption = (
        "Loss by epoch, the mean over the seeds still training; a panel a system, and one each of "
        "its towers. Ticks at the bottom: the epochs that the seeds kept."
    )
    alt = f"Training and validation loss of {len(heads)} systems and towers."
    return (Figure("curves", caption, alt, figures.curves(heads, mark(results))),)


def seeds(results: Results) -> Blocks:
    """Every seed's score, and what it is to be compared with."""
    numbers = bool(results.get("targets"))
    what, score = ("mean absolute error", "mae") if numbers else ("accuracy", "accuracy")
    accuracy = {s["title"]: s["test"][score]["per_seed"] for s in results["systems"].values()}
    if numbers:
        lines = {"mean of training": results["mean_answer_mae"]}
    else:
        lines = {"majority answer": results["majority_accuracy"]}
    if results["synthetic"]:
        lines["best possible of late fusion"] = results["synthetic"]["ceiling_late_fusion"]
        lines["best possible"] = results["synthetic"]["ceiling"]
    figure = Figure(
        "seeds",
        f"Test {what} of every seed (dots) and their mean (bars).",
        f"Test {what} of {len(accuracy)} systems, {len(results['seeds'])} dots each.",
        figures.seeds(accuracy, lines, mark(results), _unit(results)),
    )
    return (figure,)


def _unit(results: Results) -> figures.Unit:
    return figures.ERROR if results.get("targets") else figures.ACCURACY

"""Numbers, names and phrases of reports, except scores (`mman_jax.tasks.score`)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mman_jax.tasks import from_results
from mman_jax.tasks.score import NONE, Score, percent

Results = Mapping[str, Any]


def span(interval: Sequence[float] | None, of: Callable[[float], str] = percent) -> str:
    """Writes an interval."""
    return NONE if interval is None else " to ".join(of(end) for end in interval)


def p_value(p: float | None) -> str:
    """Writes a p-value with three decimals."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int | None) -> str:
    """Writes an integer, in groups of three digits from 10 000 on."""
    if number is None:
        return NONE
    return f"{number:,}".replace(",", " ") if number >= 10_000 else str(number)


def seconds(duration: float) -> str:
    """Writes seconds, rounded to integers from ten on."""
    return f"{duration:.1f}" if duration < 10 else count(round(duration))


def milliseconds(duration: float | None) -> str:
    """Writes seconds as milliseconds, to three places below one millisecond."""
    if duration is None:
        return NONE
    return f"{1000 * duration:.3f}" if duration < 0.001 else f"{1000 * duration:.1f}"


def units(results: Results) -> str:
    """Writes the number of the units that intervals resample, such as "10 speakers"."""
    resampled = results["resampled"]
    return f"{count(resampled['count'])} {resampled['unit']}"


def not_better(
    score: Score, system: Results, linear: Results, gain: float, tested: Results, resampled: str
) -> list[str]:
    """Writes that a system is not better than the linear baseline; empty if it is.

    Args:
        tested: the comparison, with the `interval` of the gain.
        resampled: the units that were resampled, see `units`.
    """
    if tested["interval"][0] > 0:
        return []
    means = [score.write(of["test"][score.key]["mean"]) for of in (system, linear)]
    percents, points, digits = (" %", " points", 1) if score.is_share else ("", "", 3)
    ends = span(tested["interval"], lambda end: score.write_gain(end, digits))
    return [
        f"{system['title']} is not better than the linear baseline: {score.phrase} "
        f"{' against '.join(means)}{percents}, a difference of {score.write_gain(gain, digits)}"
        f"{points} (95 % interval {ends}, {resampled} resampled)"
    ]


def against_baseline(results: Results) -> list[str]:
    """Writes a sentence for each system of a study that is not better than the linear baseline."""
    sentences, systems = [], results["systems"]
    for pair in results["comparisons"]:
        first, second = (systems[pair[place]] for place in ("first", "second"))
        if second["group"] == "baseline":
            tested = pair["difference"], pair, units(results)
            sentences += not_better(headline(results), first, second, *tested)
    return sentences


def interval(system: Results, key: str) -> Sequence[float]:
    """Returns the interval of a system's score; for older results, that over the seeds."""
    return system["test"][key].get("interval", system["interval"])


def context_columns(score: Score, system: Results) -> list[tuple[str, str, str]]:
    """Writes a system's scores from the last utterances alone: name, score, utterances cut short.

    The last column is the gain of the whole conversation so far. Empty if none was measured, or
    all test conversations have a single utterance.
    """

    def mean(test: Results) -> str:
        ends = map(score.write, test[score.key].get("interval", ()))
        inside = ", ".join(ends)
        return score.write(test[score.key]["mean"]) + (f" [{inside}]" if inside else "")

    within = {size: of for size, of in system.get("context", {}).items() if of["cut"]}
    if not within:
        return []
    columns = [
        (
            f"last {size}" if size != "0" else "none",
            mean(of["test"]),
            count(of["cut"]),
        )
        for size, of in within.items()
    ]
    columns.append(("all", mean(system["test"]), ""))
    if gain := within.get("0", {}).get("difference"):
        ends = span(gain["interval"], score.write_gain)
        columns.append(("all over none", f"{score.write_gain(gain[score.key])} ({ends})", ""))
    return columns


def interval_note(results: Results, name: str) -> str:
    """Writes what the intervals of a score take into account."""
    if "resampled" not in results:
        return f"The interval is of the mean {name} over the seeds."
    return f"95 % intervals: {units(results)} and the seeds are resampled."


def listed(words: Sequence[object]) -> str:
    """Writes words as a phrase; four or more consecutive integers as a range."""
    numbers = [word for word in words if isinstance(word, int)]
    if len(numbers) == len(words) > 3:
        first, last = numbers[0], numbers[-1]
        if numbers == list(range(first, last + 1)):
            return f"{first} to {last}"
    text = [str(word) for word in words]
    return " and ".join([", ".join(text[:-1]), text[-1]]) if len(text) > 1 else "".join(text)


def trained_and_tested(corpus: Mapping[str, Any]) -> str:
    """Writes the corpora of training and testing as a phrase.

    Examples:
        >>> trained_and_tested({"path": "a.npz"})
        'trained and tested on a.npz'
        >>> trained_and_tested({"path": "a.npz", "test": {"path": "b.npz", "scaled": "its own"}})
        'trained on a.npz and tested on b.npz (scaled by its own)'
    """
    test = corpus.get("test")
    if not test:
        return f"trained and tested on {corpus['path']}"
    scaled = f" (scaled by {test['scaled']})" if "scaled" in test else ""
    return f"trained on {corpus['path']} and tested on {test['path']}{scaled}"


def headline(results: Results) -> Score:
    """Returns the score by which systems are compared."""
    return from_results(results).headline


def of_group(results: Results, group: str) -> dict[str, Results]:
    """Returns the systems of a group, in their order."""
    return {k: system for k, system in results["systems"].items() if system["group"] == group}


def title(results: Results, name: str) -> str:
    """Returns the title of a system."""
    system = results["systems"].get(name)
    return system["title"] if system else name


def identifier(name: str) -> str:
    """Returns a system's name in a form for the names of tables and pictures."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def place(results: Results) -> str:
    """Returns the origin of the corpus."""
    is_synthetic = results["synthetic"] is not None
    return "the built-in SYNTHETIC corpus" if is_synthetic else results["corpus"]["path"]

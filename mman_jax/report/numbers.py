"""Numbers as the report writes them: shares as per cent, differences as points."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent, without the sign."""
    return NONE if share is None else f"{100 * share:.{digits}f}"


def points(difference: float | None, digits: int = 2) -> str:
    """A difference of two shares in percentage points, with its sign."""
    if difference is None:
        return NONE
    text = f"{100 * difference:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def span(interval: Sequence[float] | None, of: Callable[[float], str] = percent) -> str:
    """An interval."""
    return NONE if interval is None else " to ".join(of(end) for end in interval)


def spread(score: Mapping[str, Any] | None, of: Callable[[float], str] = percent) -> str:
    """Mean ± deviation over the seeds, in per cent by default; of one seed the value alone.

    Of folds their deviation, too, marked as such.
    """
    if score is None:
        return NONE
    deviation = f" ± {of(score['std'])}" if len(score["per_seed"]) > 1 else ""
    folds = f" (folds ± {of(score['std_folds'])})" if "std_folds" in score else ""
    return of(score["mean"]) + deviation + folds


def number(value: float | None, digits: int = 3) -> str:
    """A number in its own unit."""
    return NONE if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def p_value(p: float | None) -> str:
    """A p-value to three places."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int | None) -> str:
    """A whole number, in groups of three digits from 10 000 on."""
    if number is None:
        return NONE
    return f"{number:,}".replace(",", " ") if number >= 10_000 else str(number)


def seconds(duration: float) -> str:
    """Seconds, whole ones from ten on."""
    return f"{duration:.1f}" if duration < 10 else count(round(duration))


def milliseconds(duration: float | None) -> str:
    """Seconds as milliseconds, to three places below one."""
    if duration is None:
        return NONE
    return f"{1000 * duration:.3f}" if duration < 0.001 else f"{1000 * duration:.1f}"


def listed(words: Sequence[object]) -> str:
    """Words as a phrase; whole numbers in a row as a range."""
    words = list(words)
    if len(words) > 3 and all(isinstance(word, int) for word in words):
        first, last = words[0], words[-1]
        if words == list(range(first, last + 1)):
            return f"{first} to {last}"
    text = [str(word) for word in words]
    return " and ".join([", ".join(text[:-1]), text[-1]]) if len(text) > 1 else "".join(text)

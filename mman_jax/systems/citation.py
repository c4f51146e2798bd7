"""Publications of systems, and the scores that they report."""

import dataclasses
from collections.abc import Mapping

_SCORES = {
    "iemocap": "IEMOCAP, accuracy",
    "binary4": "IEMOCAP, happy, sad, neutral and angry against the rest",
    "iemocap6": "IEMOCAP, weighted F1 of six classes",
    "meld7": "MELD, weighted F1",
}


@dataclasses.dataclass(frozen=True)
class Citation:
    """The publication of a system, for tables and pages.

    Attributes:
        title: name of the system.
        about: a one-line description.
        reference: authors and year.
        published: scores in per cent as cited: `iemocap` (accuracy of several classes), `binary4`
            (accuracies of happy, sad, neutral, angry, each against the rest), `iemocap6` and
            `meld7` (weighted F1 of six and of seven classes); and `parameters` in millions.
        selection: how the epoch of the published scores was selected.
        cited_as: title in the table that cites it, if it differs from `title`.
        by_name: whether comparisons train it only if the user names it.
    """

    title: str
    about: str
    reference: str = ""
    published: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    cited_as: str = ""
    by_name: bool = False
    selection: str = "not stated"

    @property
    def year(self) -> str:
        """The year of the publication; empty if there is none."""
        return self.reference[-4:]

    @property
    def scores(self) -> str:
        """The published scores in words, each with its corpus; empty if there are none."""
        named = {_SCORES[name]: of for name, of in self.published.items() if name in _SCORES}
        return "; ".join(f"{', '.join(of)} ({name})" for name, of in named.items())

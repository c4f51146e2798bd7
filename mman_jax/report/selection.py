"""Tables of what picking the epoch came to: on the test part in its place, and trained again."""

from mman_jax.report import measure
from mman_jax.report.document import Table
from mman_jax.report.numbers import number, percent, points, spread
from mman_jax.report.tables import Results


def selection(results: Results) -> Table:
    """What picking the epoch on the test part would have added."""
    told = measure.of(results)
    shares = told.shown == "accuracy"
    value = percent if shares else number
    rows = []
    for system in results["systems"].values():
        # The one that was picked on validation, before training again on it, too.
        picked = system.get("before_refit", system)["test"][told.shown]
        oracle = system["test_oracle"][told.shown]
        gain = oracle["mean"] - picked["mean"]
        rows.append(
            (
                system["title"],
                spread(picked, value),
                spread(oracle, value),
                points(gain, 1) if shares else number(gain),
                _range(system["best_epoch"]),
            )
        )
    what = "accuracy in per cent" if shares else told.shown.upper()
    return Table(
        "selection",
        f"The cost of selecting on the test part: test {what}, mean ± deviation over the seeds.",
        ("system", "epoch picked on validation", "epoch picked on test",
         "gain in points" if shares else "gain", "epochs kept"),
        tuple(rows),
        notes=("The second column decides nothing here; it tells how such figures flatter.",),
    )  # fmt: skip


def refit(results: Results) -> tuple[Table, ...]:
    """What training again on training and validation together added; where none did nothing."""
    told = measure.of(results)
    again = [s for s in results["systems"].values() if told.key in _before(s)]
    if not again:
        return ()
    rows = []
    for system in again:
        before, after = _before(system)[told.key], system["test"][told.key]
        gain = told.difference(told.gain(after, before))
        rows.append((system["title"], told.spread(before), told.spread(after), gain))
    return (
        Table(
            "refit",
            f"Training again on training and validation together, for the steps that were chosen: "
            f"test {told.said}{told.unit}, mean ± deviation over the seeds.",
            ("system", "as chosen", "trained again", "better by"),
            tuple(rows),
        ),
    )


def _before(system: Results) -> Results:
    return system.get("before_refit", {}).get("test", {})


def _range(epochs: list[int]) -> str:
    low, high = min(epochs), max(epochs)
    return str(low) if low == high else f"{low} to {high}"

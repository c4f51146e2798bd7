"""Tables of single classes."""

from mman_jax.report import analyses
from tests.report import fake


def test_classes_of_a_system():
    results = fake.make()
    table = analyses.by_class(results)[-1]
    assert table.name == "classes_mman"
    assert table.caption.startswith("MMAN: ")
    assert table.rows[1] == ("sad", "51.0 ± 0.5", "60.0 ± 0.5", "55.0 ± 0.5", "100")
    test = results["systems"]["mman"]["test"]
    recall, macro = (f"{100 * test[m]['mean']:.1f}" for m in ("unweighted_recall", "macro_f1"))
    assert table.rows[-1][2:4] == (f"{recall} ± 0.5", f"{macro} ± 0.5")


def test_results_of_earlier_versions_have_no_such_tables():
    results = fake.make()
    for system in results["systems"].values():
        del system["test"]["per_class"]
    assert analyses.by_class(results) == ()


def test_calibration_of_the_systems():
    figure, table = analyses.calibration(fake.make(), "SYNTHETIC")
    assert figure.png.startswith(b"\x89PNG")
    assert table.rows[0][1:] == ("1.25", "12.3", "4.5", "12.3", "4.5")
    assert analyses.calibration({"systems": {}}) == ()


def test_groups_of_utterances():
    results = fake.make()
    gender, speaker = analyses.by_group(results)
    assert gender.head[:4] == ("gender", "utterances", "conversations", "cLSTM-Speech")
    assert gender.rows[0][:4] == ("f", "40", "4", "52.0 ± 0.5")
    assert [row[3] for row in gender.rows[2:]] == ["f over m", "+6.0", "\N{MINUS SIGN}1.0 to +13.0"]
    assert len(speaker.rows) == 14
    assert speaker.folded
    assert speaker.notes == (
        "Of one conversation, and left out of the gap: "
        + ", ".join(f"s{i:02d}" for i in range(13))
        + " and s13.",
    )
    for system in results["systems"].values():
        del system["groups"]
    assert analyses.by_group(results) == ()

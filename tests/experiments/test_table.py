import json
import pathlib

import pytest

from experiments import table
from mman_jax.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("corpus", ["mosi"])
def test_the_readme_s_table_is_what_the_results_say(corpus):
    written = table.markdown(table.read(ROOT / "experiments/results" / corpus))
    assert written in (ROOT / "README.md").read_text(), (
        f"print it anew: python -m experiments.table --results=experiments/results/{corpus}"
    )


def test_a_row(tmp_path):
    score = {"mean": 0.5, "std": 0.0123, "per_seed": [0.5]}
    part = {
        "accuracy": score,
        "unweighted_recall": score,
        "weighted_f1": score,
        "majority_accuracy": 0.62,
    }
    run = {
        "system": "mman",
        "protocol": "auto",
        "towers": {},
        "parameters": {"total": 4392184},
        "test": part,
        "validation": part,
        "test_oracle": {"accuracy": score},
    }
    (tmp_path / "mman.json").write_text(json.dumps(run))
    lines = table.markdown(table.read(tmp_path)).splitlines()
    cells = " | ".join(["50.0 ± 1.2"] * 5)
    assert lines[2] == f"| `mman` | 4 392 184 | {cells} |"
    assert lines[3] == "| majority answer | | 62.0 | | | | |"


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="no results"):
        table.read(tmp_path)

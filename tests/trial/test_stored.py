import copy
import json
import re

import pytest

from mman_jax.errors import InputError
from mman_jax.files.whole import read_json
from mman_jax.tasks import Classes
from mman_jax.trial import stored
from tests.robustness import examples

ONE, MANY = (json.loads(files["results.json"]) for files in examples.runs())


def written(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_results_are_read(tmp_path):
    for content in (ONE, MANY):
        assert stored.read_results(written(tmp_path, content)) == content


def paths(value, path=()):
    """Every place in the results that a command reads."""
    used = {
        "tasks",
        "towers",
        "test",
        "validation",
        "test_oracle",
        *Classes.required,
        "mean",
        "std",
    }
    used |= {"system", "protocol", "parameters", "total", "majority_accuracy", "per_seed"}
    used |= {"baseline", "difference", "interval", "resampled", "count"}
    used |= {"context", "0", "cut", "sees", "cells", "future", "speakers"}
    for key in value if isinstance(value, dict) else ():
        if key in used or path[-1:] in (("tasks",), ("towers",)):
            yield (*path, key)
            yield from paths(value[key], (*path, key))


def change(whole, path, value):
    changed = copy.deepcopy(whole)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


PATHS = [p for p in paths(ONE) if p[:1] != ("corpus",) and p != ("baseline", "system")]


@pytest.mark.parametrize("value", [None, "?", [1]], ids=["missing", "text", "list"])
@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_a_missing_value_or_one_of_another_type_is_named(tmp_path, path, value):
    optional = path[:-1] in (("towers",), ("tasks",)) or path == ("tasks",)
    optional |= path[-1] in ("baseline", "difference", "resampled", "sees", "0")
    optional |= path == ("context",)
    optional |= path[-1] == "interval" and path[-2] != "difference"
    fits = (path[-1], value) in (("per_seed", [1]), ("cells", "?"))
    if (value is None and optional) or fits:
        return
    with pytest.raises(InputError) as error:
        stored.read_results(written(tmp_path, change(ONE, path, value)))
    assert str(tmp_path / "results.json") in str(error.value)
    assert path[-1] in str(error.value)


def test_scores_by_class_and_names_of_folders_are_checked(tmp_path):
    for classes in (3, [], [1, 2], [{}, {}], [{"precision": 1}, {}]):
        with pytest.raises(InputError, match="per_class"):
            stored.read_results(written(tmp_path, change(ONE, ("test", "per_class"), classes)))
    for name in ("../../etc", "a/b", "", "/x", ".."):
        for content in (ONE | {"protocol": name}, MANY | {"tasks": {name: ONE}}):
            with pytest.raises(InputError, match="a name"):
                stored.read_results(written(tmp_path, content))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1" + "0" * 4000, "true"])
def test_other_numbers_than_finite_ones_are_refused(tmp_path, number):
    text = re.sub(r'"mean": [\d.]+', f'"mean": {number}', json.dumps(ONE))
    with pytest.raises(InputError, match="a finite number"):
        stored.read_results(written(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "a list"),
        ("3", "a int"),
        ("{", "unreadable"),
        ("[" * 100_000, "unreadable"),
        ('{"a":' * 200 + "1" + "}" * 200, "100 levels"),
        ("1" * 5000, "unreadable"),
    ],
)
def test_other_json_is_refused(tmp_path, content, words):
    with pytest.raises(InputError, match=words):
        read_json(written(tmp_path, content))

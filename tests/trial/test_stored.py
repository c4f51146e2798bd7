import copy
import json

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


def test_what_a_run_wrote_is_read(tmp_path):
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


PATHS = [path for path in paths(ONE) if path[:1] != ("corpus",)]


@pytest.mark.parametrize("value", [None, "?", [1]], ids=["missing", "text", "list"])
@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_whatever_is_missing_or_of_another_kind_is_named(tmp_path, path, value):
    optional = path[:-1] in (("towers",), ("tasks",)) or path == ("tasks",)
    if (value is None and optional) or (value == [1] and path[-1] == "per_seed"):
        return
    with pytest.raises(InputError) as error:
        stored.read_results(written(tmp_path, change(ONE, path, value)))
    assert str(tmp_path / "results.json") in str(error.value)
    assert path[-1] in str(error.value)


@pytest.mark.parametrize(
    "classes", [3, [], [1, 2], [{}, {}], [{"precision": 1}, {}]], ids=lambda x: str(x)[:12]
)
def test_scores_by_class_that_are_none_are_named(tmp_path, classes):
    with pytest.raises(InputError, match="per_class"):
        stored.read_results(written(tmp_path, change(ONE, ("test", "per_class"), classes)))


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "/x", ".."])
def test_a_name_that_leaves_the_run_s_folder_is_refused(tmp_path, name):
    for content in (ONE | {"protocol": name}, MANY | {"tasks": {name: ONE}}):
        with pytest.raises(InputError, match="a name"):
            stored.read_results(written(tmp_path, content))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "1" + "0" * 4000, "true"])
def test_a_number_that_is_none_is_refused(tmp_path, number):
    text = json.dumps(ONE).replace('"mean": 0.5', f'"mean": {number}')
    with pytest.raises(InputError, match="a finite number"):
        stored.read_results(written(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "a list"),
        ("3", "a int"),
        ("{", "unreadable"),
        ("[" * 100_000, "unreadable"),
        ('{"a":' * 200 + "1" + "}" * 200, "over 100 deep"),
        ("1" * 5000, "unreadable"),
    ],
)
def test_json_that_no_run_wrote(tmp_path, content, said):
    with pytest.raises(InputError, match=said):
        read_json(written(tmp_path, content))

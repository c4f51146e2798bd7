import os
import signal

import pytest

from mman_jax.files import pool


def work(item):
    """Fails on 'bad' items, dies on 'deadly' ones."""
    if item.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{item} is bad" if item.startswith("bad") else None


@pytest.mark.parametrize("processes", [1, 2])
def test_what_kills_a_process_is_found_and_the_others_end(processes):
    items = ["a", "deadly1", "b", "bad", "c", "deadly2", "d", "e"]
    ended = list(pool.run(work, items, processes))
    assert sorted(item for item, _ in ended) == sorted(items)
    failures = {item: failure for item, failure in ended if failure}
    assert failures == {"bad": "bad is bad", "deadly1": pool.DIED, "deadly2": pool.DIED}


def test_left_early_it_ends():
    outcomes = pool.run(work, ["a", "b", "c", "d"], 1)
    assert next(outcomes) == ("a", None)
    outcomes.close()
    assert list(pool.run(work, [], 2)) == []

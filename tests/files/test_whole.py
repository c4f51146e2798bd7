"""Files written whole: by several at once, on full disks, over what is no file."""

import concurrent.futures
import os
import pathlib
import stat

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files.whole import regular_file, write_whole, writing


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_that_write_one_file_at_once_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with writing(path) as first:
        first.write(b"fir")
        with writing(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"st")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_many_threads_leave_one_whole_file(tmp_path):
    contents = [bytes([number]) * 100_000 for number in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_whole(tmp_path / "file", content), contents))
    assert (tmp_path / "file").read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_where_writing_fails_the_old_file_stays_and_nothing_lies_about(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def failing(error, **settings):
        with writing(path, **settings) as file:
            file.write(b"new")
            raise error

    with pytest.raises(InputError, match=r"file: cannot be written \(No space left"):
        failing(OSError(28, "No space left on device"))
    with pytest.raises(KeyboardInterrupt):
        failing(KeyboardInterrupt())
    short = OSError("100 requested and 7 written")  # as NumPy says it, without a number
    with pytest.raises(InputError, match=r"written \(100 requested and 7 written\); expected x"):
        failing(short, expected="x")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_new_file_has_the_rights_that_the_user_gives_to_files(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "folder" / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "file").stat().st_mode) == 0o640


def test_a_name_as_long_as_a_name_may_be_can_be_written(tmp_path):
    write_whole(tmp_path / ("x" * 255), b"content")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"content"


def test_what_is_no_file_is_neither_replaced_nor_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, found in (
        (tmp_path / "pipe", "a pipe"),
        (tmp_path, "a folder"),
        (pathlib.Path("/dev/null"), "a device"),
    ):
        with pytest.raises(InputError, match=f"{path}: {found}; expected the path of a file"):
            regular_file(path)
        with pytest.raises(InputError, match=rf"{path}: cannot be written \(it is {found}\)"):
            write_whole(path, b"")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    (tmp_path / "file").write_bytes(b"")
    assert regular_file(tmp_path / "file")
    assert not regular_file(tmp_path / "none")
    assert not regular_file(tmp_path / "file" / "none")


def test_an_array_can_be_written_into_it(tmp_path):
    with writing(tmp_path / "array.npy") as file:
        np.save(file, np.arange(3))
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), np.arange(3))

"""Atomic writes: several writers, full disks, and paths that are not files."""

import codecs
import concurrent.futures
import os
import pathlib
import stat

import pytest

from mman_jax.errors import InputError
from mman_jax.files.whole import decode, regular_file, write_whole, writing
from tests.data.small import refuses


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_last_of_two_writers_wins(tmp_path):
    path = tmp_path / "file"
    with writing(path) as first:
        first.write(b"fir")
        with writing(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
        first.write(b"st")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_many_threads_leave_one_complete_file(tmp_path):
    contents = [bytes([number]) * 100_000 for number in range(16)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_whole(tmp_path / "file", content), contents))
    assert (tmp_path / "file").read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(error, **settings):
        with writing(path, **settings) as file:
            file.write(b"new")
            raise error

    refuses(lambda: fail(OSError(28, "No space left on device")), f"{path}: ", "(No space left")
    short = OSError("100 requested and 7 written")  # NumPy's error has no number
    refuses(lambda: fail(short, expected="x"), "(100 requested and 7 written)", "expected x")
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_new_file_has_the_permissions_of_the_user_s_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "folder" / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "file").stat().st_mode) == 0o640


def test_the_longest_name_can_be_written(tmp_path):
    write_whole(tmp_path / ("x" * 255), b"content")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"content"


def test_paths_that_are_not_files_are_neither_replaced_nor_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "pipe"), (tmp_path, "folder"), (pathlib.Path("/dev/null"), "device")):
        for function in (regular_file, lambda path: write_whole(path, b"")):
            with pytest.raises(InputError, match=f"^{path}: .*a {kind}"):
                function(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    (tmp_path / "file").write_bytes(b"")
    assert regular_file(tmp_path / "file")
    assert not regular_file(tmp_path / "none")
    assert not regular_file(tmp_path / "file" / "none")


TEXT = "naïve \u2014 “it\u2019s 3 €…”, café\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_european_texts(encoding):
    assert decode(TEXT.encode(encoding)) == TEXT
    assert decode(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be")) == TEXT


def test_windows_1252_that_was_taken_for_latin_1():
    mistaken = TEXT.encode("cp1252").decode("latin-1")
    assert mistaken != TEXT
    assert decode(mistaken.encode()) == TEXT


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "cp1251"])
def test_other_encodings_are_not_guessed(encoding):
    text = "привет мир" if encoding == "cp1251" else "感情的認識"
    with pytest.raises(UnicodeDecodeError):
        decode(text.encode(encoding))

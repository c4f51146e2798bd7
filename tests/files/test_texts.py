import codecs

import pytest

from mman_jax.files import texts

TEXT = "naïve \u2014 “it\u2019s 3 €…”, café\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_european_texts(encoding):
    assert texts.decode(TEXT.encode(encoding)) == TEXT
    assert texts.decode(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be")) == TEXT


def test_windows_1252_that_was_taken_for_latin_1():
    mistaken = TEXT.encode("cp1252").decode("latin-1")
    assert mistaken != TEXT
    assert texts.decode(mistaken.encode()) == TEXT


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "cp1251"])
def test_other_encodings_are_not_guessed(encoding):
    text = "привет мир" if encoding == "cp1251" else "感情的認識"
    with pytest.raises(UnicodeDecodeError):
        texts.decode(text.encode(encoding))

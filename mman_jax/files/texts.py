"""Decoding of text files by users."""

import codecs
import re

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")

# Windows-1252 that was taken for Latin-1 leaves controls in place of quotes and dashes.
_CONTROLS = {
    code: character
    for code in range(0x80, 0xA0)
    if (character := bytes([code]).decode("cp1252", "ignore"))
}


def decode(content: bytes) -> str:
    """Decodes UTF-8, UTF-16 with a byte order mark, or Windows-1252 if it is plausible.

    Raises:
        UnicodeDecodeError: the content is in another encoding.

    Examples:
        >>> decode("na\u00efve\u2026".encode("cp1252")), decode("It\x92s".encode())
        ('na\u00efve\u2026', 'It\u2019s')
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # In European languages, most letters are ASCII; other one- or two-byte encodings have long
        # runs of other bytes.
        runs = [len(run) for run in _BEYOND_ASCII.findall(content)]
        if max(runs) > 3 or 2 * runs.count(1) < len(runs):
            raise
        text = content.decode("cp1252")
    return text.translate(_CONTROLS)

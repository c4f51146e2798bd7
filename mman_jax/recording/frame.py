"""What all pages have around what they show; none loads anything from anywhere."""

import html
import pathlib

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; media-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def render(title: str, body: str) -> str:
    """A page.

    Args:
        title: as text.
        body: as HTML.
    """
    return _FRAME.format(title=html.escape(title), style=beside("page.css"), body=body)


def beside(name: str) -> str:
    """What a file in this folder holds."""
    return (pathlib.Path(__file__).parent / name).read_text(encoding="utf-8")

"""The report's files: the page and the Markdown have the same content."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from mman_jax import report
from mman_jax.errors import InputError
from mman_jax.report import contents, html, markdown
from mman_jax.report.document import Code, Document, Paragraph, Section, Table
from tests.report import fake


class Page(HTMLParser):
    """The tables, pictures, tags and other text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.images, self.tags, self.text = [], [], [], ""
        self.in_cell = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append(())
        elif tag in ("td", "th"):
            self.tables[-1][-1] += ("",)
            self.in_cell = True
        elif tag == "img":
            self.images.append(dict(attributes))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if self.in_cell:
            *before, cell = self.tables[-1][-1]
            self.tables[-1][-1] = (*before, cell + data)
        else:
            self.text += data


def as_html(text):
    return Page(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def documents(blank_pictures):
    return {name: contents.document(fake.plain(results)) for name, results in fake.CASES.items()}


@pytest.fixture(scope="module", params=list(fake.CASES))
def case(request, documents, tmp_path_factory):
    """A document and the folder into which it was written."""
    document, folder = documents[request.param], tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contents, "document", lambda results: document)
        report.write({}, folder)
    return document, folder


def test_page_and_markdown_have_all_text(case):
    document, folder = case
    blocks = [block for section in document.sections for block in section.blocks]
    tables = [block for block in blocks if isinstance(block, Table)]
    expected = [document.title, document.summary, *(s.title for s in document.sections)]
    expected += [b.text if isinstance(b, Paragraph | Code) else b.caption for b in blocks]
    expected += [note for table in tables for note in table.notes]
    for page in (
        Page((folder / "report.html").read_text()), as_html((folder / "report.md").read_text())
    ):  # fmt: skip
        assert page.tables == [[table.head, *table.plain] for table in tables]
        for text in expected:
            assert text in page.text
        assert not {"script", "b", "i", "em"} & set(page.tags)


def test_pictures_are_in_the_page_and_next_to_the_markdown(case):
    document, folder = case
    names = [figure.name for figure in document.figures]
    assert len(set(names)) == len(names)
    files = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert sorted(files) == sorted(f"{name}.png" for name in names)
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for shown, linked, name in zip(Page(page).images, as_html(text).images, names, strict=True):
        assert linked["src"] == f"figures/{name}.png"
        kind, _, data = shown["src"].partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data) == files[f"{name}.png"]
        assert shown["alt"] == linked["alt"] != ""


def test_the_page_is_self_contained(case):
    page = (case[1] / "report.html").read_text()
    assert not {"script", "iframe", "object"} & set(Page(page).tags)
    loaded = re.findall(r"(?:src=|url\(|@import|<link[^>]*href=)[\"']?([^\"'>]{5})", page)
    assert set(loaded) == {"data:"}


def test_the_synthetic_corpus_is_marked(documents):
    document = documents["synthetic"]
    for page in (Page(html.render(document)), as_html(markdown.render(document))):
        assert page.text.count("SYNTHETIC: ") == 1
        assert "on a SYNTHETIC corpus" in page.text
    real = documents["iemocap"]
    assert "SYNTHETIC" not in html.render(real) + markdown.render(real)


def test_sections(documents):
    sections = documents["synthetic"].sections
    assert [section.name.removesuffix("-section") for section in sections] == [
        "claims", "corpus", "systems", "tasks", "cited", "confusion", "classes", "sure", "groups",
        "tests", "positions", "attention", "curves", "seeds", "selection", "ablations", "missing",
        "evidence", "made",
    ]  # fmt: skip
    least = {section.name.removesuffix("-section") for section in documents["least"].sections}
    assert not {"tests", "ablations", "missing", "evidence"} & least
    text = html.render(documents["least"])
    assert "No two systems that the paper compares were trained here." in text
    assert "The code&#x27;s revision is not known." in text


def test_fences_are_longer_than_those_in_the_code():
    section = Section("name", "title", (Code("a\n````\nb"),))
    document = Document("title", "", "summary", (section,))
    assert "`````\na\n````\nb\n`````" in markdown.render(document)


def test_writing_again(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(fake.CASES["least"]))
    report.write_again(path)
    files = {name: (tmp_path / name).read_bytes() for name in ("report.html", "report.md")}
    report.write(fake.plain(fake.CASES["least"]), tmp_path)
    assert files == {name: (tmp_path / name).read_bytes() for name in files}
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="taken"):
        report.write(fake.CASES["least"], tmp_path / "taken")


@pytest.mark.parametrize(
    "damage",
    [
        lambda results: results.pop("corpus"),
        lambda results: results.update(seeds=3),
        lambda results: results.update(systems={"mman": []}),
        lambda results: results["systems"]["mman"]["test"].update(accuracy="high"),
    ],
)
def test_damaged_results_are_refused_and_nothing_is_written(tmp_path, damage):
    results = fake.plain(fake.CASES["least"])
    damage(results)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(InputError, match=r"results\.json"):
        report.write_again(path)
    assert not list(tmp_path.glob("report.*"))

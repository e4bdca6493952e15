"""Where the documents' links and pictures lead within the repository."""

from pathlib import Path

import pytest

from tests.commands.tiny import ROOT
from tests.documents.links import PAGES, Link, anchors_of, find_target, read_links, read_paths

LINKS = [link for path in PAGES for link in read_links(path)]
PATHS = [link for path in PAGES for link in read_paths(path)]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.place}-{link.target}")
def test_every_link_leads_to_a_file_of_the_repository(link: Link) -> None:
    path, anchor = find_target(link)
    assert path.is_relative_to(ROOT), f"{link.place}: {link.target} is outside of the repository"
    assert path.exists(), f"{link.place}: there is no {path.relative_to(ROOT)}"
    assert not anchor or anchor in anchors_of(path), f"{link.place}: {link.target} is no heading"


@pytest.mark.parametrize("link", PATHS, ids=lambda link: f"{link.place}-{link.target}")
def test_every_path_in_a_sentence_is_there(link: Link) -> None:
    assert (ROOT / link.target).exists(), f"{link.place}: there is no {link.target}"


def test_every_page_of_the_documents_is_reached_from_the_readme() -> None:
    reached = {find_target(link)[0] for link in LINKS if link.page == ROOT / "README.md"}
    assert not {*(ROOT / "docs").glob("*.md")} - reached


def test_what_is_a_link(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "[a](b.md#the-part), ![drawn](c.png) and [elsewhere](https://example.org/d.md)\n"
        "```\n"
        "[not](e.md)\n"
        "```\n"
        "`[nor](f.md)` [within](#page-2) `docs/g.md`, `docs/*.md`\n"
    )
    links = read_links(page)
    assert [(link.place, link.target) for link in links] == [
        ("page.md:1", "b.md#the-part"),
        ("page.md:1", "c.png"),
        ("page.md:5", "#page-2"),
    ]
    assert find_target(links[0]) == (tmp_path / "b.md", "the-part")
    assert find_target(links[2]) == (page, "page-2")
    assert [link.target for link in read_paths(page)] == ["docs/g.md"]


def test_headings_are_named_as_github_names_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Two `words`, and [a link](x.md)!\n```\n# comment\n```\n## Same\n## Same\n")
    assert anchors_of(page) == {"two-words-and-a-link", "same", "same-1"}

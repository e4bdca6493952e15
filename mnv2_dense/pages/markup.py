"""HTML from trees of elements, so that nothing of the user's is ever taken for markup."""

from importlib.resources import files
from xml.etree.ElementTree import Element, SubElement, tostring

LONGEST = 300
"""Letters of one text; the middle of a longer one is left out."""

_JOINERS = "\u200c\u200d\u00a0\u3000"
"""Python calls them unprintable, but scripts and emoji need them."""


def element(tag: str, *children: str | Element, **attributes: object) -> Element:
    """An element with its texts and elements, in order; all texts are made visible and escaped.

    Args:
        tag: Its name.
        children: What stands in it.
        attributes: `class_` stands for `class` and `aria_label` for `aria-label`; False and None
            leave one out, and True writes it without a value.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            made.set(name.rstrip("_").replace("_", "-"), "" if value is True else show(str(value)))
    for child in children:
        if isinstance(child, str):
            _append_text(made, show(child))
        else:
            made.append(child)
    return made


def page(title: str, style: str, *body: Element) -> str:
    """A whole document that loads nothing, whatever gets into it, and needs no script."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = element("head")
    SubElement(head, "meta", {"charset": "utf-8"})
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    width = "width=device-width, initial-scale=1"
    SubElement(head, "meta", {"name": "viewport", "content": width})
    SubElement(head, "meta", {"name": "color-scheme", "content": "light dark"})
    head.append(element("title", title))
    SubElement(head, "style").text = style
    document = element("html", head, element("body", *body), lang="en")
    return "<!DOCTYPE html>\n" + tostring(document, encoding="unicode", method="html") + "\n"


def read_style(package: str) -> str:
    """The style of all pages, and behind it the `page.css` of a package."""
    parts = (files(name).joinpath("page.css") for name in ("mnv2_dense.pages", package))
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


def show(text: str) -> str:
    r"""A text whose letters can all be seen and encoded.

    Control characters, those that turn the direction of writing, and the bytes of a file name
    that are no text become escapes such as `\n` and `\udcff`, as they stand in JSON.
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in _JOINERS
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


def shorten(text: str) -> str:
    """A text of at most `LONGEST` letters: names can be told by their ends, so those stay."""
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} … {text[-half:]}"


def count_of(number: int, noun: str) -> str:
    """A number with its noun: `1 case`, `1,204 cases`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _append_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text

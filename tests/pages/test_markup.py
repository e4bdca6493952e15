import pytest

from mnv2_dense.pages.markup import LONGEST, count_of, element, page, shorten, show


def test_texts_and_attributes_are_escaped_and_keep_their_order() -> None:
    made = element("p", "a<b ", element("b", "&"), " c", class_="x\"'>", aria_label="l", open=True)
    html = page("</title><script>", "p { margin: 0 }", made)
    assert '<p class="x&quot;\'&gt;" aria-label="l" open="">a&lt;b <b>&amp;</b> c</p>' in html
    assert "<title>&lt;/title&gt;&lt;script&gt;</title>" in html
    assert "<script" not in html


def test_attributes_that_are_false_are_left_out() -> None:
    assert element("input", checked=False, name=None).attrib == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain / Ünï صورة 猫", "plain / Ünï صورة 猫"),
        ("caf\udce9.jpg", r"caf\udce9.jpg"),
        ("a\nb\0c\x85", r"a\nb\x00c\x85"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("می\u200cروم", "می\u200cروم"),
    ],
)
def test_a_text_can_be_seen_and_encoded(text: str, shown: str) -> None:
    assert show(text) == shown
    shown.encode()


def test_a_long_text_keeps_both_ends() -> None:
    assert shorten("x" * LONGEST) == "x" * LONGEST
    short = shorten("start" + "x" * 100_000 + "end.png")
    assert len(short) <= LONGEST + 3
    assert short.startswith("start")
    assert short.endswith("end.png")


def test_numbers_with_their_noun() -> None:
    assert count_of(1, "case") == "1 case"
    assert count_of(1204, "case") == "1,204 cases"

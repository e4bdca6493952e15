from pathlib import Path

import pytest

from mnv2_dense.ops.processor import has_bf16, processor_name


@pytest.mark.parametrize(
    ("line", "able"),
    [
        ("flags\t\t: fpu sse2 avx2 avx512f", False),
        ("flags\t\t: fpu avx512f avx512_bf16 fsrm", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd i8mm bf16", True),
        ("Features\t: fp asimd svebf16x", False),
        ("model name\t: bf16", False),
    ],
)
def test_the_listed_instructions_decide(tmp_path: Path, line: str, able: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{line}\npower management:\n")
    assert has_bf16(file) is able


def test_where_nothing_is_listed_it_is_not_assumed(tmp_path: Path) -> None:
    assert has_bf16(tmp_path / "none") is False


def test_the_processor_has_a_name(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_bytes(b"processor\t: 0\nmodel name\t: Xeon \xff: 2\nmodel name\t: other\n")
    assert processor_name(file) == "Xeon \ufffd: 2"
    file.write_text("Features\t: fp\n")
    assert processor_name(file) == processor_name(tmp_path / "none")
    assert processor_name(tmp_path / "none")

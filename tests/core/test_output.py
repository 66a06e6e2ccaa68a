"""What is printed reaches any terminal or file, and never stops what prints it; data is never markup."""

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from ar_lightning.core.errors import UserError
from ar_lightning.core.files import naming, write_csv, write_json, written
from ar_lightning.core.output import Output, answered, markdown, printable, protected
from ar_lightning.tracking.console import console
from tests.commands.test_cli import apart


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_control_characters_of_data_reach_no_terminal() -> None:
    text = "".join(map(chr, range(0x100)))
    shown = printable(text)
    assert all(c in "\n\t" or c.isprintable() or c in "\xa0\xad" for c in shown) and len(shown) == len(text)
    stream = io.StringIO()
    print("a\x1b]0;title\x07\r\x9b2J", file=Output(stream))
    assert stream.getvalue() == "a\ufffd]0;title\ufffd\ufffd\ufffd2J\n"


def test_what_the_encoding_has_not_is_replaced() -> None:
    for encoding, expected in (("ascii", b"? ?\n"), ("cp1252", b"? \xe9\n"), ("utf-8", "Ω é\n".encode())):
        content = io.BytesIO()
        out = Output(io.TextIOWrapper(content, encoding, newline="\n"))
        print("Ω é", file=out, flush=True)
        assert content.getvalue() == expected


def test_what_cannot_be_written_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    with protected() as lost:
        print("a line")
        console().print("another")
        error = lost()
    assert error is not None and error.errno == errno.ENOSPC


@pytest.mark.parametrize("name", ["[baseline]", "a[/red]", ":bomb:", "[/b]", "[link=http://x]y[/link]", "$a_$b$"])
def test_names_are_no_markup_to_rich(name: str) -> None:
    text = io.StringIO()
    table = Table(name, title=name)
    table.add_row(name)
    console(file=text, width=60).print(table, name)
    assert text.getvalue().count(name) == 4
    escaped = io.StringIO()
    console(file=escaped, force_terminal=True).print(f"\x1b]0;x\x07{name}")
    assert "\x1b]0" not in escaped.getvalue()


@pytest.mark.parametrize("name", ["a|b", "*a*", "_a_", "[a](b)", "<b>", "$x$", "`a`", "a\nb", "#1", "a_b", "&lt;"])
def test_names_are_no_markup_to_markdown(name: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    inline = markdown_it.MarkdownIt().parseInline(markdown(name))[0].children
    assert [token.type for token in inline] == ["text"] * len(inline)
    assert "".join(token.content for token in inline) == name.replace("\n", " ")


@pytest.mark.parametrize("command", ["list", "--help"])
@pytest.mark.parametrize(("stream", "code"), [("/dev/full", 2), (os.devnull, 0)])
def test_a_full_disk_is_one_line(command: str, stream: str, code: int) -> None:
    with Path(stream).open("w") as file:
        done = apart([command], "pass", stdout=file)
    assert (done.returncode, done.stderr.count("\n")) == (code, code // 2)
    assert "standard output: No space left on device" in done.stderr or not code


def test_standard_output_may_be_closed() -> None:
    closed = apart(["list"], "import os; assert os.path.samestat(os.fstat(1), os.stat(os.devnull))", close_fds=False,
                   preexec_fn=lambda: os.close(1))  # fmt: skip
    assert (closed.returncode, closed.stderr) == (0, "")


@pytest.mark.parametrize("failing", [errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("hidden", [False, True])  # by an error of PyTorch's
def test_a_file_that_cannot_be_written_is_one_line(
    failing: int, hidden: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "last.ckpt"

    def save() -> int:
        with written(path) as partial:
            partial.write_text("half")
            try:
                raise OSError(failing, os.strerror(failing))
            except OSError:
                if hidden:
                    raise RuntimeError("unexpected pos 4 vs 3")  # noqa: B904 - as PyTorch does
                raise

    assert answered(save) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {path}: {os.strerror(failing)}; ") and err.count("\n") == 1
    assert list(path.parent.iterdir()) == []


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a bug"), written(tmp_path / "x"):
        raise RuntimeError("a bug")
    with pytest.raises(FileNotFoundError, match="absent"), naming(tmp_path / "x"):
        (tmp_path / "absent").read_text()
    with pytest.raises(UserError):
        raise UserError("as it was")


@pytest.mark.parametrize("write", [lambda p: write_json({"a": 1}, p), lambda p: write_csv("ab", [[1, 2]], p)])
def test_a_device_is_written_to_and_not_replaced(write: Any, tmp_path: Path) -> None:
    null, full = tmp_path / "null", tmp_path / "full"
    null.symlink_to("/dev/null")
    full.symlink_to("/dev/full")
    write(null)
    with pytest.raises(OSError, match="No space left"):
        write(full)
    assert null.is_char_device() and full.is_char_device()

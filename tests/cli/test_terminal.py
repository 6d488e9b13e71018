"""What the command line prints of others' text is text."""

import pytest

from overnight.cli.terminal import (
    format_seconds,
    format_time,
    new_table,
    open_console,
    shorten,
)
from tests.support.terminal import printed, terminal


def test_control_characters_of_names_are_printed_as_their_codes(capsys) -> None:
    table = new_table("file")
    table.add_row("a\x1b[2Jb.csv")

    open_console().print(table)
    open_console().print("c\x1b]0;title\x07d")

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert r"a\x1b[2Jb.csv" in printed
    assert r"c\x1b]0;title\x07d" in printed


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("2026-11-22T03:00:59+01:00", "2026-11-22 02:00"),
        ("2026-11-22T02:00:00Z", "2026-11-22 02:00"),
        (None, ""),
    ],
)
def test_times_are_shown_to_the_minute_in_utc(at: str | None, shown: str) -> None:
    assert format_time(at) == shown


def test_durations_have_units() -> None:
    assert [format_seconds(seconds) for seconds in (4.21, 187, 7_500)] == [
        "4.2 s",
        "3 min 7 s",
        "2 h 5 min",
    ]


def test_a_text_is_cut_at_a_word_and_says_so() -> None:
    assert shorten("a few words", 20) == "a few words"
    assert shorten("a few words more than fit", 14) == "a few words…"
    assert shorten("0123456789", 5) == "0123…"


def test_versions_keep_their_width_and_other_columns_break() -> None:
    version, key = "20261122T020000-0123456789ab", "k" * 90
    table = new_table("version", "reason")
    table.add_row(version, f"because of {key}")
    console = terminal()

    console.print(table)

    text = printed(console)
    assert version in text
    assert "".join(text.split()).count("k") == 90

"""What the command line prints of others' text is text."""

from overnight.cli.terminal import new_table, open_console


def test_control_characters_of_names_are_printed_as_their_codes(capsys) -> None:
    table = new_table("file")
    table.add_row("a\x1b[2Jb.csv")

    open_console().print(table)
    open_console().print("c\x1b]0;title\x07d")

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert r"a\x1b[2Jb.csv" in printed
    assert r"c\x1b]0;title\x07d" in printed

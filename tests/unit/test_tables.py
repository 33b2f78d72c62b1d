"""Tables: on a terminal as wide as that is, else as wide as they have to be."""

import io

from rich.console import Console
from rich.table import Table

from egress_conformance.tables import print_table

LONG = "word " * 40 + "end"


def lines(*, terminal: bool) -> list[str]:
    table = Table("id", "statement", box=None)
    table.add_row("RES-01", LONG)
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    print_table(table, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_in_a_pipe_each_row_is_one_line() -> None:
    assert [line.split() for line in lines(terminal=False)] == [["id", "statement"], ["RES-01", *LONG.split()]]


def test_on_a_terminal_they_are_as_wide_as_that() -> None:
    wrapped = lines(terminal=True)
    assert len(wrapped) > 2
    assert max(map(len, wrapped)) <= 80

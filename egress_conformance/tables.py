"""Tables on the terminal."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def print_table(table: Table, console: Console) -> None:
    """Print a table; into a file or a pipe each row on one line, so that `grep` and `sort` can have it.

    Args:
        table: the table.
        console: where; one that is no terminal becomes as wide as the table has to be.
    """
    if not console.is_terminal:
        wanted = Measurement.get(console, console.options.update(max_width=1000), table).maximum
        console.width = max(console.width, wanted)
    console.print(table)

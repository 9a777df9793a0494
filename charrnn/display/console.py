"""The only module that imports rich: the live display of a training, and tables.

Rich's live display would take over stdout, which carries data: it is told not to. Text that comes from a model or a
file is never parsed for markup.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO, TypeVar, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    FileSizeColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from charrnn.display.echo import hide_control_characters
from charrnn.display.outlet import Outlet, never
from charrnn.display.plain import Display
from charrnn.display.widths import cut
from charrnn.escape import visible
from charrnn.metrics import Report
from charrnn.wording import describe_loss, describe_speed, format_seconds

SAMPLE_LINES = 8
"""Lines that are shown of what the model writes by now."""

QUIET_SECONDS = 1.0
"""Work that takes no longer is not shown."""

NARROW_DISPLAY = 60
"""Columns of a terminal; where they are fewer, the place in the training stands below the bar and not beside it."""

Bar = TypeVar("Bar", bound="WorkBar")


class _Patient:
    """A terminal that may go away, or be halted by Ctrl-S: what is written to it then is lost at worst."""

    def __init__(self, stream: TextIO, outlet: Outlet | None = None) -> None:
        self._stream, self._outlet = stream, outlet or Outlet(stream)

    def write(self, text: str) -> int:
        self._outlet.write(text)
        return len(text)

    def flush(self) -> None:
        """Nothing: what is written is there already."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _console(stream: TextIO, outlet: Outlet | None = None) -> Console:
    return Console(file=cast(TextIO, _Patient(stream, outlet)), highlight=False, markup=False, emoji=False)


class WorkBar:
    """How far a long piece of work is, on a terminal; nothing where it is quick.

    Args:
        stream: a terminal.
        columns: what is shown.
        total: of what is done when all is; None where nobody knows.
    """

    def __init__(self, stream: TextIO, *columns: ProgressColumn, total: int | None = None) -> None:
        console = _console(stream)
        self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._task = self._bar.add_task("", total=total)
        self._begun = time.monotonic()
        self._done = 0.0
        self._is_shown = False

    def __enter__(self: Bar) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            self._bar.stop()

    def __call__(self, done: float) -> None:
        """Show how much is done."""
        self._done = done
        if not self._is_shown:
            if time.monotonic() - self._begun < QUIET_SECONDS:
                return
            self._bar.start()
            self._is_shown = True
        self._bar.update(self._task, completed=done)

    def advance(self, more: float) -> None:
        """Show that more is done than before."""
        self(self._done + more)


class ReadingBar(WorkBar):
    """How many bytes of a text are read; those of a large one are read twice, and a folder's once more before."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream, TextColumn("reading"), BarColumn(20), FileSizeColumn(), TransferSpeedColumn())


class ShareBar(WorkBar):
    """How far a piece of work is of which it is known how much there is, such as the scoring of a text."""

    def __init__(self, stream: TextIO, name: str, total: int) -> None:
        columns = (TextColumn(name), BarColumn(20), TaskProgressColumn(), TimeRemainingColumn())
        super().__init__(stream, *columns, total=total)


class LiveDisplay(Display):
    """A display that redraws itself on a terminal: progress, losses, speed and what the model writes by now.

    Args:
        stream: a terminal.
        is_hurried: see `Display`.
    """

    shows_samples = True

    def __init__(self, stream: TextIO, *, is_hurried: Callable[[], bool] = never) -> None:
        super().__init__(stream, is_hurried=is_hurried)
        self._stream = stream
        self._show_control_characters: Callable[[], None] | None = None
        self._console = _console(stream, self._outlet)
        self._report: Report | None = None
        self._evaluated: Report | None = None
        self._sample: tuple[int, str] | None = None
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=4,
            redirect_stdout=False,  # stdout is data, on this terminal or elsewhere
            redirect_stderr=False,
        )

    def close(self) -> None:
        """See `Display.close`."""
        if self._live.is_started:
            self._live.stop()
        if self._show_control_characters is not None:
            self._show_control_characters()
            self._show_control_characters = None

    def note(self, message: str) -> None:
        """See `Display.note`."""
        self._console.print(Text(message))

    def warn(self, message: str) -> None:
        """See `Display.warn`."""
        self._console.print(Text(visible(message), style="yellow"), soft_wrap=True)

    def update(self, report: Report) -> None:
        """See `Display.update`."""
        self._report = report
        if report.val_loss is not None:
            self._evaluated = report
        if not self._live.is_started:
            self._show_control_characters = hide_control_characters(self._stream)
            self._live.start()

    def sample(self, step: int, text: str) -> None:
        """See `Display.sample`."""
        self._sample = (step, visible(text))

    def _render(self) -> RenderableType:
        if self._report is None:
            return Text("")
        parts: list[RenderableType] = [self._progress_line(self._report), self._figures(self._report)]
        if self._sample is not None:
            parts.append(self._sample_box(*self._sample))
        return Group(*parts)

    def _progress_line(self, report: Report) -> RenderableType:
        bar = ProgressBar(total=1.0, completed=report.progress), Text(f"{report.progress:4.0%}", style="bold")
        place = Text(f"epoch {report.epoch:.2f}, step {report.step:,}, {format_seconds(report.seconds_left)} left")
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1, no_wrap=True)
        if self._console.width < NARROW_DISPLAY:
            grid.add_row(*bar)
            return Group(grid, place)
        grid.add_row(*bar, place)
        return grid

    def _figures(self, report: Report) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=len("validation"))
        grid.add_column()
        grid.add_row("training", describe_loss(report.train_loss, self.unit))
        if self._evaluated is not None and self._evaluated.val_loss is not None:
            grid.add_row("validation", Text(describe_loss(self._evaluated.val_loss, self.unit), style="bold"))
        if report.best_val_loss is not None:
            best = f"{report.best_val_loss:.4f} nats, at step {report.best_step:,}"
            grid.add_row("best", Text(best, style="green"))
        grid.add_row(
            "speed", f"{describe_speed(report.chars_per_second, self.unit)}, learning rate {report.learning_rate:.2g}"
        )
        return grid

    def _sample_box(self, step: int, text: str) -> RenderableType:
        """What the model writes, cut and set in here: rich counts joined characters as one, and terminals do not."""
        lines = [f"  {cut(line, self._console.width - 2)}" for line in text.split("\n")[:SAMPLE_LINES]]
        body = Text("\n".join(lines), style="italic", no_wrap=True, overflow="ellipsis")
        return Group(Text(f"at step {step:,} it writes", style="dim"), body)


def print_grid(rows: Sequence[tuple[str, str]]) -> None:
    """Print a two-column table on a terminal, wrapped to its width."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    Console(highlight=False, markup=False, emoji=False).print(grid)

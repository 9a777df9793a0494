"""The live display of a training, and progress bars; the only module that imports rich.

Rich renders the lines and a `Frame` draws them: rich's own live display handles neither background jobs nor Ctrl-Z nor
a terminal that is made narrower. Text that comes from a model or a file is never parsed for markup.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, Group, RenderableType
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

from charrnn.display.echo import is_in_foreground
from charrnn.display.frame import Frame
from charrnn.display.messages import PatientStream, never
from charrnn.display.plain import Display, PlainDisplay
from charrnn.display.widths import cut, wrapped
from charrnn.escape import one_line, visible
from charrnn.metrics import Report
from charrnn.wording import describe_loss, describe_speed, format_seconds

SAMPLE_LINES = 8
"""Lines of the model's latest sample that are shown."""

QUIET_SECONDS = 1.0
"""Work that takes less time than this shows no progress bar."""

NARROW_DISPLAY = 60
"""On a terminal of fewer columns, epoch, step and time left are shown below the bar instead of beside it."""


class WorkBar:
    """A progress bar on a terminal, shown only once the work has taken `QUIET_SECONDS`.

    Args:
        stream: a terminal.
        columns: rich's columns of the bar.
        total: amount of work; None if unknown.
    """

    def __init__(self, stream: TextIO, *columns: ProgressColumn, total: int | None = None) -> None:
        drawing, self._bar = _Drawing(stream), Progress(*columns)  # whose own display is never started
        self._task = self._bar.add_task("", total=total)
        self._frame = Frame(
            stream, PatientStream(stream), lambda: drawing.lines(self._bar.get_renderable()), drawing.size,
            stays=False, hides_typing=False,
        )  # fmt: skip
        self._begun = time.monotonic()

    def __enter__(self) -> WorkBar:
        return self

    def __exit__(self, *_: object) -> None:
        self._frame.stop()

    def __call__(self, done: float) -> None:
        """Show how much is done in all."""
        self._bar.update(self._task, completed=done)
        if time.monotonic() - self._begun >= QUIET_SECONDS:
            self._frame.refresh()

    def advance(self, more: float) -> None:
        """Show that this much more is done."""
        self(self._bar.tasks[0].completed + more)


def reading_bar(stream: TextIO) -> WorkBar:
    """A bar for the bytes of a text that are read; a large text is read twice, and a folder once more before."""
    return WorkBar(stream, TextColumn("reading"), BarColumn(20), FileSizeColumn(), TransferSpeedColumn())


def share_bar(stream: TextIO, name: str, total: int) -> WorkBar:
    """A bar for work whose amount is known, such as the scoring of a text."""
    return WorkBar(stream, TextColumn(name), BarColumn(20), TaskProgressColumn(), TimeRemainingColumn(), total=total)


class LiveDisplay(Display):
    """A display that redraws itself on a terminal: progress, losses, speed and the latest sample.

    Args:
        stream: a terminal.
        is_hurried: see `Display`.
    """

    shows_samples = True

    def __init__(self, stream: TextIO, *, is_hurried: Callable[[], bool] = never) -> None:
        super().__init__(stream, is_hurried=is_hurried)
        self._stream = stream
        self._lines = PlainDisplay(stream, shows_samples=False, is_hurried=is_hurried)
        self._drawing = _Drawing(stream)
        self._frame = Frame(stream, self._patient, self._draw, self._drawing.size, stays=True, hides_typing=True)
        self._report: Report | None = None
        self._evaluated: Report | None = None
        self._sample: tuple[int, str] | None = None

    def close(self) -> None:
        """See `Display.close`."""
        self._frame.stop()

    def note(self, message: str) -> None:
        """See `Display.note`."""
        self._say("".join(f"{line}\n" for line in wrapped(one_line(message), self._drawing.width)))

    def warn(self, message: str) -> None:
        """See `Display.warn`."""
        self._say(self._drawing.draw(Text(one_line(message), style="yellow"), soft_wrap=True))

    def _say(self, lines: str) -> None:
        self._frame.write(self._told_of_lost() + lines)

    def update(self, report: Report) -> None:
        """See `Display.update`; in the background, where nothing is drawn, it writes lines."""
        self._report = report
        if report.val_loss is not None:
            self._evaluated = report
        if not is_in_foreground(self._stream):
            self._lines.unit = self.unit
            self._lines.update(report)
        self._frame.refresh()

    def sample(self, step: int, text: str) -> None:
        """See `Display.sample`."""
        self._sample = (step, visible(text))

    def _draw(self) -> list[str]:
        assert self._report is not None, "the first one starts the drawing"
        parts: list[RenderableType] = [self._progress_line(self._report), self._figures(self._report)]
        if self._sample is not None:
            parts.append(self._sample_box(*self._sample))
        return self._drawing.lines(Group(*parts))

    def _progress_line(self, report: Report) -> RenderableType:
        bar = ProgressBar(total=1.0, completed=report.progress), Text(f"{report.progress:4.0%}", style="bold")
        place = Text(f"epoch {report.epoch:.2f}, step {report.step:,}, {format_seconds(report.seconds_left)} left")
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1, no_wrap=True)
        if self._drawing.width < NARROW_DISPLAY:
            grid.add_row(*bar)
            return Group(grid, place)
        grid.add_row(*bar, place)
        return grid

    def _figures(self, report: Report) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=len("validation"))
        grid.add_column()
        if report.train_loss is not None:
            grid.add_row("training", describe_loss(report.train_loss, self.unit))
        if self._evaluated is not None and self._evaluated.val_loss is not None:
            grid.add_row("validation", Text(describe_loss(self._evaluated.val_loss, self.unit), style="bold"))
        if report.best_val_loss is not None:
            best = f"{report.best_val_loss:.4f} nats, at step {report.best_step:,}"
            grid.add_row("best", Text(best, style="green"))
        if report.chars_per_second is not None:
            speed = describe_speed(report.chars_per_second, self.unit)
            grid.add_row("speed", f"{speed}, learning rate {report.learning_rate:.2g}")
        return grid

    def _sample_box(self, step: int, text: str) -> RenderableType:
        """The sample, cut and indented here, since rich counts joined characters as one, and terminals do not."""
        lines = [f"  {cut(line, self._drawing.width - 2)}" for line in text.split("\n")[:SAMPLE_LINES]]
        body = Text("\n".join(lines), style="italic", no_wrap=True, overflow="ellipsis")
        return Group(Text(f"at step {step:,} it writes", style="dim"), body)


class _Drawing:
    """A rich console that renders to strings; a `Frame` or another caller writes them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._console = stream, _console(stream)

    @property
    def width(self) -> int:
        """The columns to draw in."""
        return self.size()[0]

    def size(self) -> tuple[int, int]:
        """The terminal's current columns and rows, or fewer if COLUMNS and LINES say so.

        Larger values of these variables, as exported in a wider terminal, are ignored: lines would overrun the edge.
        """
        columns, rows = self._console.size
        with contextlib.suppress(OSError, ValueError):  # the stream is no terminal
            there = os.get_terminal_size(self._stream.fileno())
            return min(columns, there.columns or columns), min(rows, there.lines or rows)
        return columns, rows

    def draw(self, drawn: RenderableType, *, soft_wrap: bool = False) -> str:
        """Render to text with colours."""
        with self._console.capture() as captured:
            self._console.print(drawn, soft_wrap=soft_wrap, width=self.width)
        return captured.get()

    def lines(self, drawn: RenderableType) -> list[str]:
        """Render to lines with colours."""
        return self.draw(drawn).removesuffix("\n").split("\n")


def _console(stream: TextIO) -> Console:
    """A rich console.

    COLUMNS=0 and LINES=0 are ignored, as in Python's `shutil`: rich would draw nothing in a width of 0.
    """
    told = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES") or value.strip("0")}
    return Console(file=stream, highlight=False, markup=False, emoji=False, _environ=told)

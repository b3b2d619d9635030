"""Shows the items of a run: richly in a terminal, as plain lines anywhere else."""

from __future__ import annotations

from typing import Protocol, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.padding import Padding
from rich.spinner import Spinner
from rich.syntax import Syntax
from rich.text import Text

from runtime.cli.acts import Act
from runtime.cli.pictures import PictureSink
from runtime.cli.transcript import (
    Code,
    Fault,
    Item,
    Output,
    Picture,
    Say,
    Task,
    Thought,
    Transcript,
    Waiting,
)
from runtime.cli.wording import cut, one_line, printable

_DRAFT_LINES = 6
_LEXERS = {"python": "python", "bash": "bash", "sh": "bash", "javascript": "javascript"}


class Presenter(Protocol):
    """Where a run is shown."""

    def show(self, item: Item) -> None:
        """Show one item."""
        ...

    def note(self, text: str) -> None:
        """Say something about the run, such as where a file is."""
        ...

    def __enter__(self) -> Self:
        """Start to show what is going on."""
        ...

    def __exit__(self, *problem: object) -> None:
        """Show nothing any more."""
        ...


def presenter_for(console: Console, transcript: Transcript, pictures: PictureSink) -> Presenter:
    """The presenter that suits the console."""
    if console.is_terminal:
        return RichPresenter(console, transcript, pictures)
    return PlainPresenter(console, pictures)


class QuietPresenter:
    """Shows nothing but notes and what went wrong."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, item: Item) -> None:
        """Nothing, unless it is a fault."""
        if isinstance(item, Fault):
            self.note(f"error: {printable(item.message)}")

    def note(self, text: str) -> None:
        """One line."""
        self._console.print(Text(printable(text)), soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        """Nothing to end."""


class PlainPresenter:
    """One labelled line, or a labelled block, per item; no colours and nothing that moves."""

    def __init__(self, console: Console, pictures: PictureSink) -> None:
        self._console = console
        self._pictures = pictures

    def show(self, item: Item) -> None:
        """Print the item."""
        self.note(self._text(item))

    def note(self, text: str) -> None:
        """Print a line."""
        shown = printable(text)
        self._console.print(
            shown, soft_wrap=True, markup=False, highlight=False, emoji=False, no_wrap=True
        )

    def _text(self, item: Item) -> str:
        match item:
            case Task(text) | Say(text):
                return f"{'task' if isinstance(item, Task) else 'says'}: {printable(text)}"
            case Thought(text):
                return f"thinks: {one_line(text, 400)}"
            case Code(language, code):
                return f"runs {one_line(language, 20)}:\n{_indented(cut(printable(code)))}"
            case Output(text, is_error):
                label = "error" if is_error else "output"
                return f"{label}:\n{_indented(cut(printable(text)))}"
            case Picture():
                return self._pictures(item)
            case Act():
                return _act_line(item)
            case Waiting(name, arguments):
                return f"waits for you to run: {one_line(name)}({one_line(arguments, 400)})"
            case Fault(code, message):
                return f"error: {printable(message)} ({one_line(code)})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        """Nothing to end."""


class RichPresenter:
    """Colours, rendered Markdown, and a line at the bottom that says what is going on."""

    def __init__(self, console: Console, transcript: Transcript, pictures: PictureSink) -> None:
        self._console = console
        self._pictures = pictures
        self._live = Live(
            _Ticker(transcript), console=console, transient=True, refresh_per_second=8
        )

    def show(self, item: Item) -> None:
        """Print the item above the bottom line."""
        self._console.print(self._rendered(item))

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(Text(printable(text), style="cyan"), soft_wrap=True)

    def _rendered(self, item: Item) -> RenderableType:
        match item:
            case Task(text):
                return Text(f"› {printable(text)}", style="bold")
            case Say(text):
                return Padding(Markdown(printable(text), hyperlinks=False), (1, 0))
            case Thought(text):
                return Text(cut(printable(text.strip()), max_lines=8), style="dim italic")
            case Code(language, code):
                return _code_block(language, cut(printable(code), max_lines=60, max_chars=8000))
            case Output(text, is_error):
                return _output_block(cut(printable(text)), is_error)
            case Picture():
                return Text(f"  ▣ {printable(self._pictures(item))}", style="magenta")
            case Act():
                return _act_text(item)
            case Waiting(name, arguments):
                line = f"waits for you to run {one_line(name)}({one_line(arguments, 400)})"
                return Text(line, style="yellow")
            case Fault(code, message):
                return Text(f"✗ {printable(message)} ({one_line(code)})", style="bold red")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._live.stop()


class _Ticker:
    """The bottom of the terminal while a run goes on: the text being written, and a spinner."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._spinner = Spinner("dots", style="cyan")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        activity = Text(one_line(self._transcript.activity, options.max_width - 4), style="dim")
        self._spinner.update(text=activity)
        draft = printable(self._transcript.draft).strip()
        if draft:
            yield Text("\n".join(draft.split("\n")[-_DRAFT_LINES:]), style="dim", overflow="fold")
        yield self._spinner


def _code_block(language: str, code: str) -> RenderableType:
    title = Text(f"▶ {one_line(language, 20)}", style="bold blue")
    lexer = _LEXERS.get(language, "text")
    block = Syntax(
        code.rstrip(), lexer, theme="ansi_dark", background_color="default", word_wrap=True
    )
    return Group(Text(), title, Padding(block, (0, 0, 0, 2)))


def _output_block(text: str, is_error: bool) -> RenderableType:
    return Padding(Text(text, style="red" if is_error else "dim"), (0, 0, 0, 2))


def _act_text(act: Act) -> Text:
    mark, style = ("✗", "red") if act.is_error else ("✓", "green")
    line = Text.assemble((f"{mark} ", style), (act.name, "bold"))
    if act.target:
        line.append(f" {act.target}")
    if act.outcome:
        line.append(f" → {act.outcome}", style="red" if act.is_error else "dim")
    return line


def _act_line(act: Act) -> str:
    outcome = f" -> {'error: ' if act.is_error else ''}{act.outcome}" if act.outcome else ""
    return f"{act.name} {act.target}".rstrip() + outcome


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.split("\n"))

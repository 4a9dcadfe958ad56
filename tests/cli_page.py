"""docs/cli.md, made of the commands themselves: ``python -m tests.cli_page`` writes it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from otel_audit.cli import COMMANDS, _Parser

PAGE: Final = Path(__file__).parents[1] / "docs" / "cli.md"
EXAMPLE: Final = re.compile(r"^  (otel-audit .*)$", re.MULTILINE)
STATUS: Final = re.compile(r"^  (\d+) {2,}(.*)$", re.MULTILINE)
_HEADING: Final = re.compile(r"^(\S.*):$", re.MULTILINE)
_BEGINNING: Final = """\
# The command line

`otel-audit COMMAND …`, or `python -m otel_audit COMMAND …`. Reading (`verify`, `query`, `tail`, `stats`, `show`,
`trace`, `export`, `report`, `reconcile`) needs neither the OpenTelemetry SDK nor a network, and an extra only where it
is said. Results go to stdout, everything else to stderr. What stands in a log is shown with its control characters
escaped. Without a terminal there is no progress and no colour; nor with `NO_COLOR`.

After Ctrl-C the exit status is 130, and 141 where the reader of stdout went away (`| head`). Where stdout is closed, or
full, and there was something to print, it is 2, whatever was done. All others are those of
each command. This page is made of the commands' own help: `python -m tests.cli_page`.

"""


def examples(name: str) -> list[str]:
    """Return the examples in the help of a command."""
    return EXAMPLE.findall(COMMANDS[name].EPILOG)


def arguments(name: str) -> list[argparse.Action]:
    """Return the arguments of a command, as they are shown."""
    return [action for action in _parser(name)._actions if action.help != argparse.SUPPRESS]


def _parser(name: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"otel-audit {name}", add_help=False)
    COMMANDS[name].add_arguments(parser)
    return parser


def page() -> str:
    """Return the text of docs/cli.md."""
    rows = [f"| [`{name}`](#{name}) | {command.SUMMARY} |\n" for name, command in COMMANDS.items()]
    return _BEGINNING + "| command | |\n|---|---|\n" + "".join(rows) + "".join(map(_section, COMMANDS))


def _section(name: str) -> str:
    command = COMMANDS[name]
    parts = [f"\n## {name}\n\n", *_description(command.DESCRIPTION), "```sh\n"]
    parts += [f"{example}\n" for example in examples(name)]
    parts += ["```\n\n", "| argument | |\n|---|---|\n"]
    parts += [f"| {_spelled(action)} | {_cell(_help(action))} |\n" for action in arguments(name)]
    parts += [f"\n{_text(group.description)}\n" for group in _parser(name)._action_groups if group.description]
    parts += ["\n", *_epilog(command.EPILOG)]
    return "".join(parts).rstrip("\n") + "\n"


def _description(text: str) -> Iterator[str]:
    """Yield paragraphs as they are, and what is indented as a block."""
    for paragraph in text.split("\n\n"):
        if re.search(r"^ ", paragraph, re.MULTILINE):
            yield f"```text\n{paragraph}\n```\n\n"
        else:
            yield f"{_text(paragraph)}\n\n"


def _epilog(text: str) -> Iterator[str]:
    """Yield what stands behind the examples: exit statuses as a table, other lists as blocks."""
    pieces = _HEADING.split(text)
    for heading, content in zip(pieces[1::2], pieces[2::2], strict=True):
        if heading == "exit status":
            yield "| exit status | |\n|---|---|\n"
            yield from (f"| {status} | {_cell(meaning)} |\n" for status, meaning in _statuses(content))
            yield "\n"
            if rest := "\n".join(line for line in content.split("\n") if line and not line.startswith(" ")):
                yield f"{_text(rest)}\n\n"
        elif not heading.startswith("example"):
            yield f"{heading.capitalize()}:\n\n```text\n{content.strip(chr(10))}\n```\n\n"


def _statuses(content: str) -> Iterator[tuple[str, str]]:
    held: tuple[str, str] | None = None
    for line in content.split("\n"):
        match = STATUS.match(line)
        if match is not None:
            if held is not None:
                yield held
            held = match[1], match[2]
        elif held is not None and line.startswith("   "):
            held = held[0], f"{held[1]} {line.strip()}"
    if held is not None:
        yield held


def _spelled(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else action.metavar or _choices(action)
    if not action.option_strings:
        return f"`{value}{'…' if action.nargs in ('+', '*') else ''}`"
    return ", ".join(f"`{f'{option} {value}'.strip()}`" for option in action.option_strings)


def _choices(action: argparse.Action) -> str:
    return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % {"default": action.default}
    return f"{text} (required)" if action.option_strings and action.required else text


def _cell(text: str) -> str:
    return _text(" ".join(text.split())).replace("|", "\\|")


def _text(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return re.sub(r"([*_<])", r"\\\1", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""Commands whose modules are imported when they are asked for: no command waits for the libraries of all others."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group that knows where its commands lie; help imports them all."""

    places: ClassVar[dict[str, str]]
    """module:function or module:app, by the name of the command, in the order of the help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**{**attributes, "commands": dict.fromkeys(self.places)})

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the places."""
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if cmd_name in self.places and self.commands[cmd_name] is None:
            module, _, what = self.places[cmd_name].partition(":")
            found = getattr(importlib.import_module(module), what)
            if not isinstance(found, typer.Typer):
                function, found = found, typer.Typer(add_completion=False)
                found.command(cmd_name)(function)
            command = typer.main.get_command(found)
            command.name = cmd_name
            self.commands[cmd_name] = command
        return self.commands.get(cmd_name)


def lazy_app(places: dict[str, str], **settings: Any) -> typer.Typer:
    """An app of such commands."""
    group = type("Group", (LazyGroup,), {"places": places})
    app = typer.Typer(cls=group, no_args_is_help=True, **settings)
    app.callback(help=settings.get("help"))(lambda: None)
    return app

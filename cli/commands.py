"""Command groups whose commands are imported when they are asked for."""

import difflib
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

import click


class Commands(click.Group):
    """A group that lists its commands in the order of the main path and suggests the nearest name for a typing error."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with "did you mean"."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], list(self.commands), n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near and near[0] not in error.message else ""
            raise click.UsageError(error.message + hint, ctx) from error


class Table(MutableMapping[str, click.Command]):
    """Commands by name, imported on first use: `modules` names for each the module of `package` that holds it.

    The function has its module's name.
    """

    def __init__(self, package: str, modules: Mapping[str, str]) -> None:
        self.package = package
        self.modules = dict(modules)
        self.loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self.loaded:
            module = self.modules[name]
            self.loaded[name] = getattr(import_module(f"{self.package}.{module}"), module)
        return self.loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self.modules.setdefault(name, "")
        self.loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.modules[name]
        self.loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)

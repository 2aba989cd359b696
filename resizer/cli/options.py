"""Options that several commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from resizer.config import Settings, load_settings
from resizer.models import Effort, Fit, OutputFormat

Command = Callable[..., None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """The values of `--config` and `--data-dir`."""

    file: Path | None
    data_dir: str | None

    def load(self, *, data_dir: str | None = None, **sections: dict[str, Any]) -> Settings:
        """Load the settings; `sections` override them except where None. Raises `ConfigError`.

        `data_dir` is the default of the command.
        """
        given = {
            section: {key: value for key, value in keys.items() if value is not None}
            for section, keys in sections.items()
        }
        folder = self.data_dir if self.data_dir is not None else data_dir
        return load_settings(self.file, given if folder is None else {"data_dir": folder, **given})


def configured(
    function: Command, *, data_dir: str = "Folder of the database and local images.  [config: data_dir]"
) -> Command:
    """Add `--config` and `--data-dir`, whose values become the argument `config`."""

    @click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Configuration file.  [default: config.toml in the working directory, if it exists]",
    )
    @click.option("--data-dir", metavar="DIR", help=data_dir)
    @wraps(function)
    def command(config_file: Path | None, data_dir: str | None, **options: Any) -> None:
        function(config=Configuration(file=config_file, data_dir=data_dir), **options)

    return command


#: options of a recipe in the order of `--help`; an omitted one has the value of the configuration
RECIPE_OPTIONS = (
    click.option("--quality", type=int, help="1 to 100.  [config: compress.quality]"),
    click.option(
        "--effort",
        type=click.Choice([each.value for each in Effort]),
        help="small takes more time for fewer bytes, fast the opposite.  [config: compress.effort]",
    ),
    click.option(
        "--format", type=click.Choice([each.value for each in OutputFormat]), help="[config: compress.format]"
    ),
    click.option("--max-width", type=int, help="Pixels; never enlarges.  [config: compress.max_width]"),
    click.option("--max-height", type=int, help="Pixels; never enlarges.  [config: compress.max_height]"),
    click.option(
        "--fit",
        type=click.Choice([each.value for each in Fit]),
        help="How images meet both limits: inside them, cropped to cover them, or padded with the "
        "background.  [config: compress.fit]",
    ),
    click.option(
        "--background",
        metavar="COLOUR",
        help="white, none or #rrggbb: around padded images, and behind transparency in JPEG.  "
        "[config: compress.background]",
    ),
)
RECIPE = ("quality", "format", "effort", "max_width", "max_height", "fit", "background")


def recipe_options(function: Command) -> Command:
    """Add the options of a recipe, whose values, where given, become the argument `recipe`."""

    @wraps(function)
    def command(**options: Any) -> None:
        recipe = {name: options.pop(name) for name in RECIPE}
        function(recipe={name: value for name, value in recipe.items() if value is not None}, **options)

    for option in reversed(RECIPE_OPTIONS):
        command = option(command)
    return command

"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from resizer.config import Settings, load_settings
from resizer.models import Effort, Fit, OutputFormat

F = TypeVar("F", bound=Callable[..., Any])


def configured(
    function: F, *, data_dir: str = "Folder of the database and local images.  [config: data_dir]"
) -> F:
    """Add `--config` and `--data-dir`, the latter with this help."""
    with_folder = click.option("--data-dir", metavar="DIR", help=data_dir)(function)
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Configuration file.  [default: config.toml of the working directory, if there is one]",
    )(with_folder)


def recipe_options(function: F) -> F:
    """Add the options of a recipe; what is left out is the configuration's."""
    for option in (
        click.option(
            "--background",
            metavar="COLOUR",
            help="white, none or #rrggbb: around padded images, and behind transparency in JPEG.  "
            "[config: compress.background]",
        ),
        click.option(
            "--fit",
            type=click.Choice([each.value for each in Fit]),
            help="How images are brought to both limits: whole, cropped, or padded with the background.  "
            "[config: compress.fit]",
        ),
        click.option("--max-height", type=int, help="Pixels; never enlarges.  [config: compress.max_height]"),
        click.option("--max-width", type=int, help="Pixels; never enlarges.  [config: compress.max_width]"),
        click.option(
            "--format",
            "output_format",
            type=click.Choice([each.value for each in OutputFormat]),
            help="[config: compress.format]",
        ),
        click.option(
            "--effort",
            type=click.Choice([each.value for each in Effort]),
            help="small: fewer bytes for more time; fast: the other way round.  [config: compress.effort]",
        ),
        click.option("--quality", type=int, help="1 to 100.  [config: compress.quality]"),
    ):
        function = option(function)
    return function


def settings_from(config_file: Path | None, data_dir: str | None, **sections: dict[str, Any]) -> Settings:
    """Load the configuration; options that were given override it. Raises `ConfigError`."""
    overrides: dict[str, Any] = {}
    if data_dir is not None:
        overrides["data_dir"] = data_dir
    for section, options in sections.items():
        given = {key: value for key, value in options.items() if value is not None}
        if given:
            overrides[section] = given
    return load_settings(config_file, overrides)

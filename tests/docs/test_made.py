"""Generated parts of the documents are up to date."""

import tomllib

import pytest
from documents import ROOT
from making import MADE, made


@pytest.mark.parametrize("name", MADE)
def test_document_is_up_to_date(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == made(name), "run `python tests/docs/making.py`"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8").splitlines()
    documented = {}
    for row in rows:
        if row.startswith("| `"):
            key, default, _ = (cell.strip() for cell in row.strip("|").split(" | ", 2))
            documented[key.strip("`")] = tomllib.loads(f"value = {default.strip('`')}")["value"]
    config = tomllib.loads((ROOT / "config.toml").read_text(encoding="utf-8"))
    flat: dict[str, object] = {}
    for name, value in config.items():
        keys = (
            {f"{name}.{key}": each for key, each in value.items()}
            if isinstance(value, dict)
            else {name: value}
        )
        flat.update(keys)
    assert documented == flat

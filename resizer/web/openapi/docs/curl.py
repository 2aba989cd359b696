"""Each operation as a curl command."""

import shlex
from typing import Final

from resizer.schemas.fields import Json

#: operations whose response is a file to save
FILES: Final = {
    "getResult": "result.csv",
    "getArchive": "images.zip",
    "getImage": "image.jpg",
    "getOriginal": "original.jpg",
}


def curl(method: str, path: str, operation: Json, *, origin: str, token: bool) -> str:
    name, form = operation["operationId"], operation.get("requestBody")
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    verb = f" -X {method.upper()}" if method != "get" and not form else ""
    lines = [f"curl{verb} {shlex.quote(origin + path)}"]
    if token and operation.get("security") != []:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if form:
        fields = form["content"]["multipart/form-data"]["example"]
        lines += [f"-F {key}={'@products.csv' if key == 'file' else value}" for key, value in fields.items()]
    lines += [
        "-H " + shlex.quote(f"{each['name']}: {each['example']}")
        for each in operation["parameters"]
        if each["in"] == "header" and "example" in each
    ]
    if name in FILES:
        lines.append(f"-o {FILES[name]}")
    if name == "followRequest":
        lines.append("--no-buffer")
    return " \\\n  ".join(lines)

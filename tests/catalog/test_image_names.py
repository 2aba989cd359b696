import unicodedata
from pathlib import PurePosixPath, PureWindowsPath
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resizer.catalog.image_names import FOLDER_BYTES, STEM_BYTES, archive_path, safe, stem_of
from resizer.models import Image, ImageStatus

FILENAME = f"{1:032x}.jpg"

#: names that fail on some system, as a whole or as a part
NASTY = (
    *(
        "",
        " ",
        ".",
        "..",
        "...",
        "../..",
        "/etc/passwd",
        "C:\\Windows",
        "a/b",
        "a\\b",
        "nul",
        "CON",
        "con.jpg",
    ),
    *(
        "COM1",
        "lpt9.txt",
        "COM\u00b9",
        "Aux .x",
        "CONIN$",
        "-rf",
        "~root",
        "~",
        "a.",
        "a ",
        " a",
        "a. .",
        ".hid",
    ),
    *(
        "a\0b",
        "a\nb",
        "a\tb",
        "a\x7fb",
        "\x85",
        "\u202egpj.exe",
        "\u2066x\u2069",
        "\ufeffx",
        "\u200b",
        "\u3164",
    ),
    *(
        "e\u0301",
        "\u00e9",
        "\u212b",
        "\u00c5",
        "\ufb01",
        "\u1e9e",
        "\u0130",
        "\u0131",
        "\ud800",
        "\U0001f469\u200d\U0001f373",
    ),
    *('<>:"|?*', "x" * 300, "\u4e2d" * 200, "e" + "\u0301" * 300, "\U0001f469" * 90, "a" * 95 + ". b"),
    *("result.csv", "RESULT.CSV", "errors.txt", "product", "a (line 2)", "A (LINE 3)", "a\u200d", "_con"),
)
texts = st.one_of(
    st.sampled_from(NASTY), st.text(), st.lists(st.sampled_from(NASTY), max_size=4).map("".join)
)
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789\u00b9\u00b2\u00b3"
}


def image(
    name: str = "Chair",
    url: str = "https://a.example/b.jpg",
    *,
    line: int = 2,
    position: int = 1,
) -> Image:
    return Image(
        seq=0,
        line=line,
        serial="1",
        product_name=name,
        position=position,
        url=url,
        status=ImageStatus.COMPLETED,
        attempts=1,
        compressed=None,
        fault=None,
    )


def check_part(part: str, most_bytes: int) -> None:
    """Assert that every file system accepts the part, and no program reads it as something else."""
    assert 0 < len(part.encode()) <= most_bytes
    assert not set(part) & set('<>:"/\\|?*')
    assert not [each for each in part if unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not [
        each for each in part if unicodedata.bidirectional(each) in {"LRE", "RLE", "LRO", "RLO", "PDF"}
    ]
    assert not [each for each in part if unicodedata.bidirectional(each) in {"LRI", "RLI", "FSI", "PDI"}]
    assert part == part.strip(" ")
    assert part[0] not in ".-~"
    assert part[-1] != "."
    assert part.partition(".")[0].strip().lower() not in DEVICES
    assert not PureWindowsPath(part).is_reserved()
    assert unicodedata.is_normalized("NFC", part)


@settings(max_examples=150)
@given(name=texts, url=st.one_of(texts, texts.map(lambda text: f"https://a.example/{text}")))
@example(name="", url="https://a.example")
def test_path_can_be_unpacked_everywhere(name: str, url: str) -> None:
    path = archive_path(image(name, url, line=10**7, position=1000), FILENAME)
    folder, file = path.split("/")
    check_part(folder, FOLDER_BYTES + len(" (line 10000000)"))
    check_part(file, STEM_BYTES + len("1000-.jpg"))
    assert len(path) < 190
    assert PurePosixPath(path).parts == (folder, file)


def one_to_some_file_system(path: str) -> set[str]:
    """Return the path as file systems compare it that ignore case, composition or invisible characters."""
    seen = "".join(each for each in path if unicodedata.category(each) != "Cf")
    forms: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
    folded = {fold(seen) for fold in (str.lower, str.upper, str.casefold)}
    return {f"{form}{unicodedata.normalize(form, each)}" for form in forms for each in folded}


@settings(max_examples=40)
@given(
    st.lists(st.lists(texts, min_size=1, max_size=3).map(tuple), max_size=8),
    st.lists(texts, min_size=1, max_size=5),
)
def test_no_two_images_have_one_path_on_any_file_system(
    products: list[tuple[str, ...]], names: list[str]
) -> None:
    seen = one_to_some_file_system("result.csv") | one_to_some_file_system("errors.txt")
    folders = set(seen)
    for number, urls in enumerate(products):
        folder = None
        for position, url in enumerate(urls, 1):
            each = image(
                names[number % len(names)], f"https://a.example/{url}", line=number + 2, position=position
            )
            path = archive_path(each, FILENAME)
            assert folder in {None, path.partition("/")[0]}
            folder = path.partition("/")[0]
            forms = one_to_some_file_system(path)
            assert not seen & forms
            seen |= forms
        assert folder is not None
        forms = one_to_some_file_system(folder)
        assert not folders & forms
        folders |= forms


@pytest.mark.parametrize(
    "name, folder",
    [
        ("Blue Chair", "Blue Chair"),
        ("  Blue \t Chair.. ", "Blue Chair"),
        ("4/5 Chair", "4_5 Chair"),
        ("con", "_con"),
        ("NUL.black", "_NUL.black"),
        ("Console", "Console"),
        ("-5 % off", "_-5 % off"),
        ("../../etc", "_.._etc"),
        ("...", "product"),
        ("", "product"),
        ("abc\u202efdp", "abcfdp"),
        ("Stühle 椅子", "Stühle 椅子"),
        ("Cafe\u0301", "Café"),
        ("\U0001f469\u200d\U0001f373 set", "\U0001f469\u200d\U0001f373 set"),
        ("x" * 200, "x" * FOLDER_BYTES),
        ("result.csv", "result.csv"),
        ("Chair (line 9)", "Chair (line 9)"),
    ],
)
def test_folder_is_as_close_to_the_product_as_possible(name: str, folder: str) -> None:
    assert archive_path(image(name), FILENAME) == f"{folder} (line 2)/1-b.jpg"


@pytest.mark.parametrize(
    "url, stem",
    [
        ("https://a.example/x/front.jpg", "front"),
        ("https://a.example/front.JPEG?token=secret#part", "front"),
        ("https://user:password@a.example/", ""),
        ("https://a.example", ""),
        ("https://a.example/front/", "front"),
        ("https://a.example/v1.2", "v1.2"),
        ("https://a.example/o/chairs%2Ffront%20view.png", "chairs_front view"),
        ("https://a.example/%E6%A4%85%E5%AD%90.webp", "椅子"),
        ("https://a.example/%ff.jpg", "\ufffd"),
        ("https://a.example/w_100,h_100/a.jpg", "a"),
        ("https://a.example/..%2f..%2fetc", "_.._etc"),
    ],
)
def test_image_keeps_the_name_in_its_url(url: str, stem: str) -> None:
    assert stem_of(url) == stem
    name = f"1-{stem}" if stem else "1"
    assert archive_path(image(url=url), FILENAME) == f"Chair (line 2)/{name}.jpg"


def test_folder_of_a_product_always_carries_its_line() -> None:
    products = ["Chair", "Table", "CHAIR", "chair "]
    paths = [archive_path(image(name, line=line), FILENAME) for line, name in enumerate(products, 2)]
    assert paths == [
        "Chair (line 2)/1-b.jpg",
        "Table (line 3)/1-b.jpg",
        "CHAIR (line 4)/1-b.jpg",
        "chair (line 5)/1-b.jpg",
    ]


def test_name_cut_to_its_bytes_ends_between_two_characters() -> None:
    assert safe("椅" * 100, 10) == "椅" * 3
    assert safe("ab. cd", 4) == "ab"

"""Unusual shapes of CSV files that might cost more per byte than product rows."""

from dataclasses import dataclass

HEADER = "S. No.,Product Name,Input Image Urls"
URL = "https://images.example.com/catalogue/2024/product-0000001-front.jpg"
ROW = f"1,Product 1,{URL}\n"
#: maximum columns of a header
WIDE = 2_000
#: problems after which a file is still read to its end
NOTED = 99
EMPTY = ',""'


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A file of a beginning, a repeated unit and an end."""

    head: str = f"{HEADER}\n{ROW}"
    unit: str
    tail: str = ""
    #: product rows with as many products or images as one unit
    rows: int = 0
    encoding: str = "utf-8"

    def file(self, size: int) -> tuple[bytes, int]:
        """Return a file of about `size` bytes, and the number of product rows with the same content."""
        times = max(1, size // len(self.unit.encode(self.encoding)))
        text = self.head + times * self.unit + self.tail
        return text.encode(self.encoding), 1 + times * self.rows


def _wide(*, first: str = "S. No.,Product Name,Input Image Urls", others: str = "x", last: str = "") -> str:
    count = WIDE - first.count(",") - 1 - bool(last)
    return f"{first}{f',{others}' * count}{last and f',{last}'}\n"


PRODUCT_ROWS = Shape(unit=ROW, rows=1)

BLANK = {
    "LF": "\n",
    "CRLF": "\r\n",
    "CR": "\r",
    "LF CR": "\n\r",
    "CR CRLF": "\r\r\n",
    "a space": " \n",
    "four spaces": "    \n",
    "17 spaces": " " * 17 + "\n",
    "a tab": "\t\n",
    "no-break spaces": "\u00a0\n",
    "a delimiter": ",\n",
    "two delimiters": ",,\n",
    "2,000 delimiters": "," * 2_000 + "\n",
    "empty quotes": '""\n',
    "two empty quotes": '"",""\n',
    "2,000 empty quotes": '"",' * 2_000 + "\n",
    "a space in quotes": '" "\n',
    "LF in quotes": '"\n"\n',
    "all of these": ',,\n""\n \n\r\n" "\r',
}

#: repeated in the image cell of a product
CELL = {
    "letters": "x",
    "schemes": "a://",
    "ends of schemes": "://",
    "colons": ":",
    "words": " a",
    "separators": " |;",
    "line ends": "\n",
    "short lines": "x\n",
    "quotes": '""',
    "quotes and line ends": '""\n',
    "quotes and many line ends": '""' + "\n" * 33,
}

#: repeated before a cell with a syntax error
CELLS = {
    "delimiters": ",",
    "empty quotes": EMPTY,
    "quoted delimiters": ',","',
    "quoted quotes": ',""""',
    "quoted line ends": ',"\n"',
}

SPACED = 'S. No., "Product Name", "Input Image Urls"\n'

SHAPES = {
    **{f"blank rows: {name}": Shape(unit=unit) for name, unit in BLANK.items()},
    **{
        f"blank rows before the header: {name}": Shape(head="", unit=unit, tail=f"{HEADER}\n{ROW}")
        for name, unit in {**BLANK, "a semicolon": ";\n"}.items()
    },
    "nothing but blank rows": Shape(head="", unit="\n"),
    "blank rows in UTF-16": Shape(unit="\n", encoding="utf-16"),
    "rows of delimiters in UTF-16": Shape(unit=",,\n", encoding="utf-16"),
    "blank rows in Windows-1252": Shape(unit="\n", tail="1,Ä,\n", encoding="cp1252"),
    "blank rows after spaces before quotes": Shape(head=f"{SPACED}{ROW}", unit=' ""\n'),
    "a product, 7 blank rows": Shape(unit=",a\n" + "\n" * 7, rows=1),
    "a product, 3 rows of a space": Shape(unit=",a\n" + " \n" * 3, rows=1),
    "a product, 40 blank rows": Shape(unit=",a\n" + "\n" * 40, rows=1),
    "a product of many lines, 32 blank rows": Shape(unit=',"a' + "\n" * 33 + '"\n' + "\n" * 32, rows=1),
    **{
        f"one cell: {name}": Shape(head=f'{HEADER}\n1,a,"{URL} ', unit=unit, tail='"\n')
        for name, unit in CELL.items()
    },
    "a quote that is never closed": Shape(head=f'{HEADER}\n{ROW}1,a,"', unit=ROW),
    "a quote that is never closed, line ends": Shape(head=f'{HEADER}\n{ROW}1,a,"', unit="\n"),
    "one row of delimiters": Shape(unit=","),
    "one row of spaces and delimiters": Shape(unit=" ,"),
    "100,000 columns": Shape(head=HEADER, unit=",x", tail=f"\n{ROW}"),
    "one column": Shape(head="S. No.\n", unit="1\n"),
    **{
        f"2,000 columns, {name}": Shape(head=_wide() + ROW, unit=unit, rows=rows)
        for name, unit, rows in (
            ("blank rows", "\n", 0),
            ("rows of a delimiter", ",\n", 0),
            ("product rows", ROW, 1),
            ("tiny products", "1,a,\n", 1),
            ("full rows", f"1,a,{URL}{',x' * (WIDE - 3)}\n", 1),
            ("rows with a gap", f"1,a,{URL}{',' * (WIDE - 3)}x\n", 1),
            ("rows with quoted empty cells", f"1,a,{URL}{EMPTY * (WIDE - 4)},x\n", 1),
        )
    },
    **{
        f"2,000 columns without a name, {name}": Shape(
            head=_wide(others="", last="x") + ROW, unit=unit, rows=rows
        )
        for name, unit, rows in (
            ("blank rows", "\n", 0),
            ("product rows", ROW, 1),
            ("tiny products", "1,a,\n", 1),
            ("rows of spaces", f"1,a,{URL}{', ' * (WIDE - 4)}\n", 1),
        )
    },
    "the image column last of 2,000, tiny products": Shape(
        head=_wide(first="S. No.,Product Name", last="Images") + f"1,a{',' * (WIDE - 2)}{URL}\n",
        unit="1,a\n",
        rows=1,
    ),
    "URLs moved to the last of 2,000 columns": Shape(
        head=_wide(first="No,,SKU", last="Images"), unit=",a://b,c\n", rows=1
    ),
    "URLs moved as far as they may be": Shape(head=f"No,,SKU{',x' * 19},Images\n", unit=",a://b,c\n", rows=1),
    "tiny products": Shape(unit=",a\n", rows=1),
    "tiny products in UTF-16": Shape(unit=",a\n", rows=1, encoding="utf-16"),
    "tiny products, tiny URLs": Shape(unit=",a,a://b\n", rows=1),
    "tiny URLs": Shape(unit=f'1,a,"{"a://," * 400}"\n', rows=400),
    "tiny URLs that were not quoted": Shape(unit=f"1,a,{'a://,' * 400}\n", rows=400),
    "tiny products, quoted after spaces": Shape(head=SPACED + ROW, unit='1,"a", "x"\n', rows=1),
    "99 problems, blank rows": Shape(head=HEADER + "\n1,,x" * NOTED + "\n", unit="\n"),
    "99 problems, product rows": Shape(head=HEADER + "\n1,,x" * NOTED + "\n", unit=ROW, rows=1),
    "99 problems, tiny products": Shape(head=HEADER + "\n1,,x" * NOTED + "\n", unit=",a\n", rows=1),
    "a hundred problems": Shape(unit="1,,x\n"),
    **{
        f"a broken row: {name}": Shape(head=f"{HEADER}\n1", unit=unit, tail=f',"a"b,{URL}\n')
        for name, unit in CELLS.items()
    },
    "a broken row of many lines": Shape(head=f'{HEADER}\n1,"', unit="\n", tail='"b,x\n'),
    "NUL bytes": Shape(unit="\0"),
    "end marks": Shape(unit="\x1a"),
    "lines of a NUL byte": Shape(unit="\0\n"),
}

// Read a CSV before it is sent: what is in it, and what the service would refuse.

const FIRST_ROWS = 8; // shown
const MOST_PROBLEMS = 100;
const HEAD = 1 << 16; // characters in which the header ends
const MOST_CELL = 1 << 20; // characters, as the service has it
const NO_TEXT = /[\0-\x08\x0e-\x19\x1b-\x1f]/; // 0x1A may end a file
const NO_TEXT_1252 = /[\0-\x08\x0e-\x19\x1b-\x1f\x81\x8d\x8f\x90\x9d]/; // five bytes are no characters there
const END_MARKS = /\x1a+$/;

const WANTED = [
  { key: "serial", own: "S. No.", names: ["sno", "serialnumber", "no"] },
  { key: "name", own: "Product Name", names: ["productname", "product", "sku"] },
  { key: "images", own: "Input Image Urls", names: ["inputimageurls", "inputurls", "imageurls", "images"] },
];

const KINDS = [
  [[0x50, 0x4b, 3, 4], "an Excel workbook"],
  [[0xd0, 0xcf, 0x11, 0xe0], "an old Excel workbook"],
  [[0x25, 0x50, 0x44, 0x46], "a PDF document"],
  [[0x89, 0x50, 0x4e, 0x47], "a PNG image"],
  [[0xff, 0xd8, 0xff], "a JPEG image"],
  [[0x47, 0x49, 0x46, 0x38], "a GIF image"],
  [[0x1f, 0x8b], "a gzip archive"],
];

const SCHEME = "[A-Za-z][A-Za-z0-9+.\\-]*://";
const IS_URL = new RegExp(`^${SCHEME}`);
// a run of separators is entered at its first one only, so that a long one costs no more than its length
const BETWEEN = new RegExp(`(?<![\\s,;|])[\\s,;|]+(?=${SCHEME})`);
const SEPARATOR = /[\s,;|]/;

/** Return one entry for each image of a cell: a separator counts only where a new URL begins after it. */
export function splitUrls(cell) {
  let from = 0;
  let to = cell.length;
  while (from < to && SEPARATOR.test(cell[from])) from += 1;
  while (to > from && SEPARATOR.test(cell[to - 1])) to -= 1;
  return from < to ? cell.slice(from, to).split(BETWEEN) : [];
}

/**
 * Read a file; returns `{columns, rows, products, images, problems}`: the first rows as `{line, serial, name,
 * urls}`, and problems as `{line, column, message}`, of which one alone has the service refuse the file.
 */
export async function readCatalog(file) {
  const start = new Uint8Array(await file.slice(0, 16).arrayBuffer());
  for (const [bytes, kind] of KINDS) {
    if (bytes.every((byte, index) => start[index] === byte)) {
      return failed(`The file looks like ${kind}. Save the table as CSV, and choose that file.`);
    }
  }
  for (const encoding of encodings(start)) {
    try {
      return await readAs(file, encoding);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the bytes are of another encoding
    }
  }
  return failed('The file is not text. Save the table again as "CSV UTF-8".');
}

function encodings(start) {
  if (start[0] === 0xff && start[1] === 0xfe) return ["utf-16le"];
  if (start[0] === 0xfe && start[1] === 0xff) return ["utf-16be"];
  return ["utf-8", "windows-1252"];
}

const failed = (message) => ({ columns: [], rows: [], products: 0, images: 0, problems: [{ line: 1, column: 1, message }] });

async function readAs(file, encoding) {
  const catalog = new Catalog(encoding === "windows-1252" ? NO_TEXT_1252 : NO_TEXT);
  let rows = null;
  let head = "";
  const text = file.stream().pipeThrough(new TextDecoderStream(encoding, { fatal: true }));
  for await (const chunk of pieces(text)) {
    if (rows) {
      rows.take(chunk);
    } else {
      head += chunk;
      if (head.length >= HEAD) rows = new Rows(delimiterOf(head), catalog).take(head);
    }
    if (catalog.full) break;
  }
  rows ??= new Rows(delimiterOf(head), catalog).take(head);
  rows.end();
  return catalog.end();
}

async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** The delimiter under which the first row shows most of the wanted columns, then most cells. */
function delimiterOf(text) {
  const head = text.slice(0, HEAD);
  const rank = (delimiter) => {
    let first = null;
    const row = (_, cells) => {
      if (cells.some((cell) => cell.trim())) first ??= cells;
    };
    new Rows(delimiter, { row, problem: () => {} }).take(head).end();
    const found = WANTED.filter(({ names }) => first?.some((cell) => names.includes(normalised(cell))));
    return found.length * HEAD + (first?.length ?? 0);
  };
  return [",", ";", "\t"].reduce((best, each) => (rank(each) > rank(best) ? each : best));
}

const normalised = (name) => name.normalize("NFKC").toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

/** Cuts text into rows of cells, as it comes. */
class Rows {
  constructor(delimiter, sink) {
    this.delimiter = delimiter;
    this.sink = sink;
    this.line = 1; // on which the row begins
    this.lines = 0; // ends of lines within the row
    this.cells = [];
    this.cell = "";
    this.state = "start"; // of a cell; then plain, quoted, or closed by a quote
    this.begun = false; // the row has something in it
    this.ended = ""; // a CR, of which a LF may be the second half
  }

  take(text) {
    const special = new RegExp(`["\\r\\n${this.delimiter}]`, "g");
    let at = 0;
    if (this.ended && text) {
      if (text[0] === "\n") at = 1;
      this.ended = "";
    }
    for (special.lastIndex = at; at < text.length; at = special.lastIndex) {
      const match = special.exec(text);
      const until = match ? match.index : text.length;
      if (until > at) this.plain(text.slice(at, until));
      if (!match) break;
      const mark = match[0];
      if (mark === '"') this.quote();
      else if (this.state === "quoted") this.within(mark, text, special);
      else if (mark === this.delimiter) this.next();
      else this.newline(mark, text, special);
    }
    return this;
  }

  plain(text) {
    this.begun = true;
    if (this.sink.noText?.test(text)) {
      this.sink.problem(this.line + this.lines, 1, 'the line contains bytes that are not text; save the table again as "CSV UTF-8"');
    }
    if (this.state === "closed") {
      this.sink.problem(this.line, this.cells.length + 1, 'text follows the closing quote of this cell; put the whole cell between quotes, and write a " inside it as ""');
    }
    if (this.state === "start" && text.trim()) this.state = "plain";
    this.cell += text;
    if (this.cell.length > MOST_CELL) {
      this.sink.problem(this.line, this.cells.length + 1, "the cell has more than 1,048,576 characters; split the row, or close a quote that was left open");
    }
  }

  quote() {
    this.begun = true;
    if (this.state === "start") {
      this.state = "quoted";
      this.cell = "";
      this.opened = this.line + this.lines;
    } else if (this.state === "quoted") {
      this.state = "closed";
    } else if (this.state === "closed") {
      this.cell += '"';
      this.state = "quoted";
    } else {
      this.cell += '"';
    }
  }

  /** A delimiter or the end of a line between quotes. */
  within(mark, text, special) {
    this.cell += mark;
    if (mark === this.delimiter) return;
    this.lines += 1;
    this.skip(mark, text, special);
  }

  next() {
    this.begun = true;
    this.cells.push(this.cell);
    this.cell = "";
    this.state = "start";
  }

  newline(mark, text, special) {
    this.lines += 1;
    this.skip(mark, text, special);
    this.row();
  }

  /** Pass over the LF of a CRLF. */
  skip(mark, text, special) {
    if (mark !== "\r") return;
    if (special.lastIndex === text.length) this.ended = mark;
    else if (text[special.lastIndex] === "\n") special.lastIndex += 1;
  }

  row() {
    if (this.begun) {
      this.next();
      this.sink.row(this.line, this.cells);
    }
    this.line += this.lines;
    this.lines = 0;
    this.cells = [];
    this.cell = "";
    this.state = "start";
    this.begun = false;
  }

  end() {
    if (this.state === "quoted") {
      this.sink.problem(this.opened, this.cells.length + 1, 'the quote that opens this cell is never closed; put a " at the end of the cell');
      return;
    }
    this.row();
  }
}

/** What the rows say. */
class Catalog {
  constructor(noText) {
    this.noText = noText;
    this.columns = null;
    this.headerLine = 1;
    this.rows = [];
    this.products = 0;
    this.images = 0;
    this.problems = [];
    this.anyUrl = false;
  }

  get full() {
    return this.problems.length >= MOST_PROBLEMS;
  }

  problem(line, column, message) {
    if (!this.full) this.problems.push({ line, column, message });
  }

  row(line, cells) {
    if (cells.every((cell) => !cell.replace(END_MARKS, "").trim())) return;
    if (this.columns === null) this.header(line, cells);
    else if (this.found) this.product(line, cells);
  }

  header(line, cells) {
    while (!cells.at(-1).trim()) cells.pop();
    this.columns = cells.map((cell) => cell.trim());
    this.headerLine = line;
    const found = {};
    const known = this.columns.map(normalised);
    for (const { key, own, names } of WANTED) {
      const name = names.find((each) => known.includes(each));
      if (name) found[key] = known.indexOf(name);
      else this.problem(line, 1, `there is no column "${own}"; the columns found are ${this.columns.slice(0, 20).map((each) => `"${each}"`).join(", ")}`);
    }
    this.found = Object.keys(found).length === WANTED.length ? found : null;
  }

  product(line, cells) {
    const { serial, name, images } = this.found;
    let text = cells[images] ?? "";
    cells.forEach((cell, index) => {
      if (this.columns[index] || !cell.trim()) return;
      if (IS_URL.test(cell.trim())) text += `,${cell}`;
      else this.problem(line, index + 1, `"${cell.trim().slice(0, 60)}" is in a column without a name and is not a URL`);
    });
    const product = { line, serial: (cells[serial] ?? "").trim(), name: (cells[name] ?? "").trim(), urls: splitUrls(text) };
    if (!product.name) this.problem(line, name + 1, "the product has no name; give it one, or delete the row");
    this.products += 1;
    this.images += product.urls.length;
    this.anyUrl ||= product.urls.some((url) => IS_URL.test(url));
    if (this.rows.length < FIRST_ROWS) this.rows.push(product);
  }

  end() {
    if (this.columns === null) this.problem(1, 1, `the file is empty; its first line must name the columns ${WANTED.map(({ own }) => `"${own}"`).join(", ")}`);
    else if (this.found && !this.products) this.problem(this.headerLine, this.found.images + 1, "there is no product below the header; add one per row");
    else if (this.found && !this.anyUrl && !this.full) this.problem(this.headerLine, this.found.images + 1, "there is no URL in this column; write complete URLs, such as https://example.com/photo.jpg");
    const { columns, rows, products, images, problems } = this;
    problems.sort((one, other) => one.line - other.line);
    return { columns: columns ?? [], rows, products, images, problems };
  }
}

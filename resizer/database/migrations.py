"""The schema in steps: each runs once, in a transaction that also stores its number in the file."""

import aiosqlite

from resizer.errors import DatabaseUnusable

_FIRST = """
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    -- 0 while its CSV is still being read: nobody sees it, and a restart forgets it
    ready INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL,
    filename TEXT NOT NULL,
    -- JSON list: the header of the CSV
    columns TEXT NOT NULL,
    -- of the CSV's bytes and the options
    digest TEXT NOT NULL,
    quality INTEGER NOT NULL,
    format TEXT NOT NULL,
    max_width INTEGER NOT NULL,
    max_height INTEGER NOT NULL,
    webhook_url TEXT,
    origin TEXT NOT NULL,
    files_url TEXT NOT NULL,
    products INTEGER NOT NULL DEFAULT 0,
    images INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    input_bytes INTEGER NOT NULL DEFAULT 0,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL
) STRICT;

CREATE INDEX batches_unfinished ON batches (id) WHERE finished_at IS NULL;
CREATE INDEX batches_by_digest ON batches (digest);

CREATE TABLE products (
    batch_id INTEGER NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    line INTEGER NOT NULL,
    serial TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON list: the row as it came, without empty cells at its end
    cells TEXT NOT NULL,
    -- its images are those from first_image on, `images` of them
    first_image INTEGER NOT NULL,
    images INTEGER NOT NULL,
    PRIMARY KEY (batch_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE images (
    batch_id INTEGER NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    position INTEGER NOT NULL,
    url TEXT NOT NULL,
    -- host:port, so that images of one host can be passed over while it is busy
    host TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    filename TEXT,
    format TEXT,
    width INTEGER,
    height INTEGER,
    input_bytes INTEGER,
    output_bytes INTEGER,
    error_code TEXT,
    error_message TEXT,
    error_http_status INTEGER,
    PRIMARY KEY (batch_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX images_waiting ON images (batch_id, host, seq) WHERE status = 'pending';

-- the counters of a batch are right by construction, whoever changes an image
CREATE TRIGGER images_counted AFTER UPDATE OF status ON images WHEN OLD.status <> NEW.status
BEGIN
    UPDATE batches SET
        pending = pending + (NEW.status = 'pending') - (OLD.status = 'pending'),
        completed = completed + (NEW.status = 'completed') - (OLD.status = 'completed'),
        failed = failed + (NEW.status = 'failed') - (OLD.status = 'failed'),
        cancelled = cancelled + (NEW.status = 'cancelled') - (OLD.status = 'cancelled'),
        input_bytes = input_bytes
            + iif(NEW.status = 'completed', NEW.input_bytes, 0)
            - iif(OLD.status = 'completed', OLD.input_bytes, 0),
        output_bytes = output_bytes
            + iif(NEW.status = 'completed', NEW.output_bytes, 0)
            - iif(OLD.status = 'completed', OLD.output_bytes, 0)
    WHERE id = NEW.batch_id;
END;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id INTEGER NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    webhook_id TEXT NOT NULL,
    url TEXT NOT NULL,
    -- of the URL, with its port: what tells receivers apart
    host TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    -- NULL once it is delivered or given up
    next_attempt_at REAL,
    UNIQUE (webhook_id, url)
) STRICT;

-- with the host, so that events of a receiver that is slow are passed over without being read
CREATE INDEX deliveries_due ON deliveries (next_attempt_at, id, host) WHERE status = 'pending';
CREATE INDEX deliveries_by_batch ON deliveries (batch_id);

CREATE TABLE attempts (
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    http_status INTEGER,
    error TEXT,
    seconds REAL NOT NULL,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    key TEXT PRIMARY KEY,
    batch_id INTEGER NOT NULL REFERENCES batches (id) ON DELETE CASCADE,
    created_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_by_batch ON idempotency_keys (batch_id);

-- for people who open the file with an SQLite tool: a row for each product, its URLs slot for slot
CREATE VIEW processing_request (id, status, product_name, input_urls, output_urls) AS
SELECT
    b.request_id,
    b.status,
    p.name,
    (SELECT group_concat(url, ',') FROM
        (SELECT url FROM images i
         WHERE i.batch_id = p.batch_id AND i.seq >= p.first_image AND i.seq < p.first_image + p.images
         ORDER BY i.seq)),
    (SELECT group_concat(slot, ',') FROM
        (SELECT iif(filename IS NULL, '', b.files_url || '/' || filename) AS slot FROM images i
         WHERE i.batch_id = p.batch_id AND i.seq >= p.first_image AND i.seq < p.first_image + p.images
         ORDER BY i.seq))
FROM products p JOIN batches b ON b.id = p.batch_id
WHERE b.ready
ORDER BY p.batch_id, p.ordinal;

-- and a row for each image
CREATE VIEW image_processing (input_url, output_url) AS
SELECT i.url, iif(i.filename IS NULL, NULL, b.files_url || '/' || i.filename)
FROM images i JOIN batches b ON b.id = i.batch_id
WHERE b.ready
ORDER BY i.batch_id, i.seq;
"""

_SECOND = """
-- learnt of the URL when the image was fetched, so that its origin can be asked whether it has changed
ALTER TABLE images ADD COLUMN digest TEXT;
ALTER TABLE images ADD COLUMN etag TEXT;
ALTER TABLE images ADD COLUMN last_modified TEXT;
ALTER TABLE images ADD COLUMN location TEXT;
ALTER TABLE images ADD COLUMN asked_at REAL;
-- 64 bits of the URL's hash, once the image is completed: an index of URLs would be as large as all of them
ALTER TABLE images ADD COLUMN url_key INTEGER;

CREATE INDEX images_by_url ON images (url_key) WHERE url_key IS NOT NULL;
CREATE INDEX images_failed ON images (batch_id, seq) WHERE status = 'failed';
CREATE INDEX images_by_file ON images (filename) WHERE filename IS NOT NULL;

-- 1 from the client's word until no image is pending any more
ALTER TABLE batches ADD COLUMN cancelling INTEGER NOT NULL DEFAULT 0;
-- 1 once it is deleted: nobody sees it (ready = 0), and what belongs to it goes bit by bit
ALTER TABLE batches ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;

CREATE INDEX batches_by_status ON batches (status, id) WHERE ready;
CREATE INDEX batches_by_end ON batches (finished_at) WHERE finished_at IS NOT NULL AND ready;
CREATE INDEX batches_forgotten ON batches (id) WHERE forgotten;

-- files of batches that were deleted: each goes unless another image uses it
CREATE TABLE orphans (filename TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- tries before the event was asked for once more, which the schedule does not count
ALTER TABLE deliveries ADD COLUMN earlier_tries INTEGER NOT NULL DEFAULT 0;
"""

_THIRD = """
-- seconds since the epoch: a stored file that no image names may be removed if it was written after this.
-- An older one may belong to a database that this one has replaced. NULL until the storage was looked at.
CREATE TABLE collection (since REAL) STRICT;
INSERT INTO collection SELECT iif(EXISTS (SELECT 1 FROM batches), 0.0, NULL);
"""

_FOURTH = """
-- the further options of the recipe; earlier batches were compressed at about the same cost and look
ALTER TABLE batches ADD COLUMN effort TEXT NOT NULL DEFAULT 'balanced';
ALTER TABLE batches ADD COLUMN fit TEXT NOT NULL DEFAULT 'inside';
ALTER TABLE batches ADD COLUMN background TEXT NOT NULL DEFAULT 'white';
"""

#: step n brings a file from user_version n to n + 1; a step that was released never changes
MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND, _THIRD, _FOURTH)


async def migrate(connection: aiosqlite.Connection, path: str) -> None:
    """Run the steps that the file lacks.

    Raises `DatabaseUnusable` where the file is of a newer version, or another program's.
    """
    ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
    if version > len(MIGRATIONS):
        raise newer_version(path, version)
    if version == 0 and await connection.execute_fetchall("SELECT 1 FROM sqlite_master LIMIT 1"):
        raise DatabaseUnusable(path, "it belongs to another program; set database.path to another file")
    for number in range(version, len(MIGRATIONS)):
        await connection.executescript(step(number))


def newer_version(path: str, version: int) -> DatabaseUnusable:
    return DatabaseUnusable(
        path,
        f"it was written by a newer version of resizer (schema {version}, while this one knows "
        f"{len(MIGRATIONS)}); upgrade resizer, or restore a backup made before the upgrade",
    )


def step(number: int) -> str:
    """Return the script that brings a file from `user_version` `number` to the next, in a transaction."""
    # executescript commits an open transaction first, so the script has its own
    return f"BEGIN IMMEDIATE;\n{MIGRATIONS[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;"

"""Examples of bodies, built by the functions that build the responses."""

from collections.abc import Mapping
from dataclasses import replace

from resizer.errors import HttpStatusError
from resizer.models import (
    Attempt,
    Batch,
    BatchStatus,
    Compressed,
    Delivery,
    DeliveryStatus,
    Fault,
    Image,
    ImageStatus,
    OutputFormat,
    Recipe,
)
from resizer.schemas.fields import Json, Links, page_body
from resizer.schemas.image_bodies import image_body
from resizer.schemas.request_bodies import status_body, upload_body, webhook_body
from resizer.schemas.webhook_bodies import deliveries_body, event_body

#: names under .example are reserved, so they reach nobody
LINKS = Links(origin="https://images.example", files="https://images.example/compressed")
REQUEST_ID = "7d1f2c8e-3b7a-4f0e-9c55-0a6f1f0c2d11"
FILE_NAME = "9f86d081884c7d659a2feaa0c55ad015.jpg"
WEBHOOK_URL = "https://shop.example/hooks/images"
CSV = (
    "S. No.,Product Name,Input Image Urls\r\n"
    '1,SKU1,"https://shop.example/a.jpg,https://shop.example/b.jpg"\r\n'
    "2,SKU2,https://shop.example/c.png\r\n"
)
RESULT = (
    "S. No.,Product Name,Input Image Urls,Output Image Urls\r\n"
    '1,SKU1,"https://shop.example/a.jpg,https://shop.example/b.jpg",'
    f'"{LINKS.files}/{FILE_NAME},"\r\n'
    f"2,SKU2,https://shop.example/c.png,{LINKS.files}/60303ae22b998861bce3b28f33eec1be.png\r\n"
)
#: 2026-01-31T12:00:00Z
NOON = 1769860800.0

BATCH = Batch(
    id=42,
    request_id=REQUEST_ID,
    status=BatchStatus.PARTIAL,
    filename="products.csv",
    recipe=Recipe(quality=50, format=OutputFormat.KEEP),
    webhook_url=WEBHOOK_URL,
    origin=LINKS.origin,
    files_url=LINKS.files,
    products=2,
    images=3,
    pending=0,
    completed=2,
    failed=1,
    cancelled=0,
    input_bytes=400_000,
    output_bytes=100_000,
    created_at=NOON,
    started_at=NOON,
    finished_at=NOON + 2,
)
DELIVERY = Delivery(
    id=7,
    batch_id=42,
    webhook_id="evt_2b6a1c0f4d5e47d89a0b1c2d3e4f5a6b",
    url=WEBHOOK_URL,
    host="shop.example",
    body="",
    status=DeliveryStatus.DELIVERED,
    attempts=(
        Attempt(at=NOON + 2, http_status=503, error="answered 503", seconds=0.12),
        Attempt(at=NOON + 7, http_status=204, error=None, seconds=0.09),
    ),
    next_attempt_at=None,
)
COMPLETED = Image(
    seq=0,
    line=2,
    serial="1",
    product_name="SKU1",
    position=1,
    url="https://shop.example/a.jpg",
    status=ImageStatus.COMPLETED,
    attempts=1,
    compressed=Compressed(
        filename=FILE_NAME, format="jpeg", width=800, height=600, input_bytes=200_000, output_bytes=50_000
    ),
    fault=None,
)
FAILED = replace(
    COMPLETED,
    seq=1,
    position=2,
    url="https://shop.example/b.jpg",
    status=ImageStatus.FAILED,
    compressed=None,
    fault=Fault.of(HttpStatusError("shop.example", 404)),
)
STATUS = status_body(BATCH, LINKS, webhook_body(WEBHOOK_URL, DELIVERY), None)
#: by the name of the body
EXAMPLES: Mapping[str, Json] = {
    "Accepted": {**upload_body(BATCH, LINKS), "status": BatchStatus.PENDING},
    "Status": {**STATUS},
    "StatusPage": {**page_body([STATUS], "42")},
    "ImagePage": {**page_body([image_body(image, LINKS) for image in (COMPLETED, FAILED)], None)},
    "Deliveries": {**deliveries_body([DELIVERY])},
    "Event": {
        **event_body(BATCH, status_body(BATCH, LINKS, webhook_body(WEBHOOK_URL, None), None), NOON + 2)
    },
    "Ping": {"status": "pong"},
    "Health": {"status": "ok"},
}

"""The packed file's layout: FFCV's .beton, version 2, with an image and a label. Numpy only.

Header, two field descriptors, a record per image, zeros up to a page, pages of payloads (none crosses a page's end),
and a table that says how long each payload is. FFCV's own reader and decoders open it.
"""

import numpy as np

VERSION = 2
SUFFIX = ".beton"
DEFAULT_PAGE_BYTES = 8 << 20
MAX_PAGE_BYTES = 1 << 31
MAX_SIDE_PX = 65535  # sides are stored in 16 bits
JPEG, RAW = 0, 1  # modes of an image

HEADER = np.dtype(
    [("version", "<u2"), ("num_fields", "<u2"), ("page_size", "<u4"), ("num_samples", "<u8"), ("table_at", "<u8")],
    align=True,
)
FIELD = np.dtype([("type_id", "<u1"), ("name", "<u1", 16), ("arguments", "<u1", (1024,))], align=True)
FIELDS = (("image", 2), ("label", 1))  # FFCV's RGBImageField and IntField
IMAGE = np.dtype([("mode", "<u1"), ("width", "<u2"), ("height", "<u2"), ("data_ptr", "<u8")])
RECORD = np.dtype([("f0", IMAGE), ("f1", "<i8")], align=True)
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])
RECORDS_AT = HEADER.itemsize + len(FIELDS) * FIELD.itemsize


def field_descriptors() -> np.ndarray:
    """Field descriptors, after the header: names and types of the two fields."""
    fields = np.zeros(len(FIELDS), FIELD)
    for field, (name, type_id) in zip(fields, FIELDS, strict=True):
        field["type_id"] = type_id
        field["name"][: len(name)] = np.frombuffer(name.encode(), "<u1")
    return fields


def payloads_at(num_records: int, page_bytes: int) -> int:
    """Offset of the first page, in bytes."""
    return -(-(RECORDS_AT + num_records * RECORD.itemsize) // page_bytes) * page_bytes

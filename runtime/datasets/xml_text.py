"""XML as annotation tools write it: in any encoding that Python knows, without document types."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from ..errors import DataError
from ..text_files import byte_order_mark, read_bytes

_DECLARED = re.compile(rb"""<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
# What files that say GB2312 hold is often more than its 7,445 characters; GB 18030 contains it, and GBK.
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030"}
_NOT_OF_TEXT = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")  # codecs of other things
_WIDE_WITHOUT_MARK = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}


def parse_xml(file: Path) -> ET.Element:
    """The outermost element of an XML file.

    Raises:
        DataError: the file cannot be read, its encoding is unknown or not the declared one, it is not well-formed, or
            it declares a document type, whose entities may stand for any amount of text and for other files.
    """
    text = _decoded(read_bytes(file), file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{file}: declares a document type (<!DOCTYPE ...>), which is not read; remove it.")
    try:
        return ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:  # ValueError: half a surrogate pair
        raise DataError(f"{file}: not valid XML ({error}).") from None


def _decoded(raw: bytes, file: Path) -> str:
    """The text, by the byte order mark, else by the encoding that the first line declares, else as UTF-8."""
    marked = byte_order_mark(raw) or _WIDE_WITHOUT_MARK.get(raw[:2])
    declared = _DECLARED.match(raw)
    encoding = marked or (declared.group(1).decode().lower().replace("_", "-") if declared else "utf-8")
    if not marked and encoding.startswith(("utf-16", "utf-32", "ucs-")):
        raise DataError(f"{file}: says that it is {encoding}, but is not; correct its first line or save it as UTF-8.")
    try:
        return raw.decode("unknown" if encoding in _NOT_OF_TEXT else _SUPERSETS.get(encoding, encoding))
    except LookupError:
        raise DataError(f"{file}: its encoding {encoding!r} is not known; save it as UTF-8.") from None
    except UnicodeError as error:
        place = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        raise DataError(f"{file}: is not valid {encoding.removesuffix('-sig')}{place}; save it as UTF-8.") from None

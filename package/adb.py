"""The format of apk-tools 3 (ADB), in which its packages and indexes are: a writer and a reader.

A file is compressed whole. Inside are blocks: first the database (a tree of objects, strings and numbers), then the
signatures of it, then the contents of the files, one block each. A value is a word of 32 bits: 4 bits for its type, 28
for a small number or for the offset at which the value is. An object is a list of words, the first of which is their
count; fields at its end that are empty are left out. All numbers are little-endian.

The writer stores equal values once, in the order in which `apk mkpkg` writes them, so that the databases are the same to
the byte. The reader is bounded: it raises FormatError for a file that is cut off or altered, and never reads past an end.
"""

import hashlib
import struct
import zlib

INDEX, PACKAGE = 0x78646E69, 0x676B6370  # "indx", "pckg"
_MAGIC = 0x2E424441  # "ADB."
_DATABASE, _SIGNATURE, _DATA = range(3)
_INT, _INT_32, _INT_64 = 0x1, 0x2, 0x3
_BLOB_8, _BLOB_16, _BLOB_32 = 0x8, 0x9, 0xA
_ARRAY, _OBJECT = 0xD, 0xE
_NULL = 0
_SMALL = 1 << 28
_HEADER = struct.Struct("<BBHI")
_SHA512 = 4
# Larger than any package of ours; a file that would be larger is an attack or a mistake.
LARGEST = 64 << 20


class FormatError(ValueError):
    """A file is not in this format. The text says where the file differs."""


class Writer:
    """A database that grows value by value. The methods return words, which later objects contain."""

    def __init__(self):
        self.data = bytearray(_HEADER.size)
        self._stored = {}

    def _store(self, content, alignment):
        offset = self._stored.get(content)
        if offset is None or offset % alignment:
            offset = self._stored[content] = self._append(content, alignment)
        return offset

    def _append(self, content, alignment):
        self.data += bytes(-len(self.data) % alignment)
        self.data += content
        return len(self.data) - len(content)

    def number(self, value):
        if value < _SMALL:
            return _INT << 28 | value
        if value < 1 << 32:
            return _INT_32 << 28 | self._store(struct.pack("<I", value), 4)
        return _INT_64 << 28 | self._store(struct.pack("<Q", value), 4)

    def blob(self, content, shared=True):
        """Return the word of bytes or text. `shared`: equal values can be stored once."""
        if isinstance(content, str):
            content = content.encode()
        if not content:
            return _NULL
        size = len(content)
        kind, form = (_BLOB_8, "<B") if size < 1 << 8 else (_BLOB_16, "<H") if size < 1 << 16 else (_BLOB_32, "<I")
        store = self._store if shared else self._append
        return kind << 28 | store(struct.pack(form, size) + content, struct.calcsize(form))

    def object(self, words):
        """Return the word of an object with these fields, or of a list with these items."""
        words = list(words)
        while words and words[-1] == _NULL:
            words.pop()
        if not words:
            return _NULL
        return _OBJECT << 28 | self._store(struct.pack(f"<{len(words) + 1}I", len(words) + 1, *words), 4)

    def copy(self, value):
        """Return the word of a Value of another database, with all that it contains."""
        kind = value.kind
        if kind in (_ARRAY, _OBJECT):
            return self.object([self.copy(each) for each in value.fields()])
        if kind in (_BLOB_8, _BLOB_16, _BLOB_32):
            return self.blob(value.blob())
        return self.number(value.number()) if value else _NULL

    def finish(self, root):
        """Return the database with `root` as its outermost object, as bytes that can be changed."""
        _HEADER.pack_into(self.data, 0, 0, 0, 0, root)
        return self.data


def _block(kind, content):
    size = 4 + len(content)
    if size >= 1 << 30:
        raise ValueError("a file has more than 1 GB, and no router takes that")
    return struct.pack("<I", kind << 30 | size) + content + bytes(-size % 8)


def container(schema, database, files=(), key=None):
    """Return the compressed file: the database, its signature by `key`, and the contents of the files.

    `files`: (number of the folder, number of the file in it, bytes), from 1. `key`: a signing.PrivateKey or None.
    """
    parts = [struct.pack("<II", _MAGIC, schema), _block(_DATABASE, bytes(database))]
    if key:
        about = struct.pack("BB", 0, _SHA512) + key.id
        parts.append(_block(_SIGNATURE, about + key.sign(_signed(schema, about, database))))
    parts += [_block(_DATA, struct.pack("<II", folder, number) + content) for folder, number, content in files]
    # OpenWrt's apk reads deflate and no zstd. With more memory than apk takes, the result is a little smaller.
    # With this much memory (memLevel), the blocks of the compression fit our packages best.
    packed = zlib.compressobj(9, zlib.DEFLATED, -15, 7)
    return b"ADBd" + packed.compress(b"".join(parts)) + packed.flush()


def _signed(schema, about, database):
    """Return the bytes that are signed, after another SHA-512: the schema, the key and the digest of the database."""
    return struct.pack("<I", schema) + about + hashlib.sha512(database).digest()


class Value:
    """A word of a database. The methods read what it means, as one of the types."""

    def __init__(self, data, word):
        self._data, self._word = data, word

    def _take(self, offset, form):
        try:
            return struct.unpack_from(form, self._data, offset)
        except struct.error:
            raise FormatError("a value lies outside the database") from None

    def __bool__(self):
        return self._word != _NULL

    @property
    def kind(self):
        return self._word >> 28

    def number(self):
        kind, value = self.kind, self._word & _SMALL - 1
        if kind == _INT:
            return value
        if kind in (_INT_32, _INT_64):
            return self._take(value, "<I" if kind == _INT_32 else "<Q")[0]
        if self._word == _NULL:
            return 0
        raise FormatError("expected a number, and the value has another type")

    def blob(self):
        kind, offset = self.kind, self._word & _SMALL - 1
        if self._word == _NULL:
            return b""
        form = {_BLOB_8: "<B", _BLOB_16: "<H", _BLOB_32: "<I"}.get(kind)
        if form is None:
            raise FormatError("expected a string, and the value has another type")
        (size,) = self._take(offset, form)
        start = offset + struct.calcsize(form)
        if start + size > len(self._data):
            raise FormatError("a value lies outside the database")
        return bytes(self._data[start : start + size])

    def text(self):
        try:
            return self.blob().decode()
        except UnicodeDecodeError:
            raise FormatError("a text is not UTF-8") from None

    def fields(self):
        """Return the values of an object or list; the first has the number 1, and 0 is empty."""
        if self._word == _NULL:
            return Fields(self._data, ())
        if self.kind not in (_ARRAY, _OBJECT):
            raise FormatError("expected an object, and the value has another type")
        offset = self._word & _SMALL - 1
        (count,) = self._take(offset, "<I")
        if not count or offset + 4 * count > len(self._data):
            raise FormatError("an object lies outside the database")
        return Fields(self._data, self._take(offset + 4, f"<{count - 1}I"))


class Fields:
    """The fields of an object, from 1. Fields that are left out are empty."""

    def __init__(self, data, words):
        self._data, self._words = data, words

    def __len__(self):
        return len(self._words)

    def __getitem__(self, number):
        return Value(self._data, self._words[number - 1] if 1 <= number <= len(self._words) else _NULL)

    def __iter__(self):
        return (Value(self._data, word) for word in self._words)


class Container:
    """A file that was read: `schema`, `database` (bytes), `signatures` and `files`, ((folder, file), bytes) in order."""

    def __init__(self, content):
        data = unpacked(content)
        if len(data) < 8 or struct.unpack_from("<I", data)[0] != _MAGIC:
            raise FormatError("the file does not begin with ADB")
        self.schema = struct.unpack_from("<I", data, 4)[0]
        self.database, self.signatures, self.files = None, [], []
        position, last = 8, -1
        while position < len(data):
            kind, block, position = next_block(data, position)
            if kind < last or (kind == _DATABASE) != (last == -1):
                raise FormatError("the blocks are not in order")
            last = kind
            if kind == _DATABASE:
                self.database = block
            elif kind == _SIGNATURE:
                self.signatures.append(block)
            elif len(block) < 8:
                raise FormatError("a block of a file is too short")
            else:
                self.files.append((struct.unpack_from("<II", block), block[8:]))
        if self.database is None or len(self.database) < 16:
            raise FormatError("the file has no database")
        compatible, _, _, root = _HEADER.unpack_from(self.database)
        if compatible:
            raise FormatError("the database has a version that is not known here")
        self.root = Value(self.database, root).fields()

    def identity(self):
        """Return the SHA-256 of the database, by which an index knows a package."""
        return hashlib.sha256(self.database).digest()

    def is_signed_by(self, key):
        """Return whether one of the signatures is of this signing.PublicKey."""
        for signature in self.signatures:
            about, rest = signature[:18], signature[18:]
            if about == struct.pack("BB", 0, _SHA512) + key.id and key.verify(
                _signed(self.schema, about, self.database), rest
            ):
                return True
        return False


def unpacked(content):
    """Return the blocks of a file, which can be compressed or not."""
    if content[:4] == b"ADB.":
        return content
    if content[:4] == b"ADBc" and content[4:5] == b"\x01":
        packed = content[6:]
    elif content[:4] == b"ADBd":
        packed = content[4:]
    else:
        raise FormatError("the file does not begin with ADB, or its compression is not known here")
    unpacker = zlib.decompressobj(-15)
    try:
        data = unpacker.decompress(packed, LARGEST)
    except zlib.error as error:
        raise FormatError(f"the compressed data is damaged: {error}") from None
    if not unpacker.eof or unpacker.unused_data:
        raise FormatError("the compressed data does not end where the file ends, or is too large")
    return data


def next_block(data, position):
    if position + 4 > len(data):
        raise FormatError("a block is cut off")
    (word,) = struct.unpack_from("<I", data, position)
    kind, size = word >> 30, word & (1 << 30) - 1
    if kind > _DATA:
        raise FormatError("a block has a type that is not known here")
    end = position + size + -size % 8
    if size < 4 or end > len(data):
        raise FormatError("a block is cut off")
    if any(data[position + size : end]):
        raise FormatError("there is data between two blocks")
    return kind, bytes(data[position + 4 : position + size]), end

"""Says what a file is that should have been a GGUF model and is not."""

from __future__ import annotations

import re
import struct

HEAD_BYTES = 512
"""How much of the file's beginning ``recognise`` wants to see."""

_GET_GGUF = "download a GGUF file of the model instead"
_CONVERT = "convert it with llama.cpp's convert_hf_to_gguf.py or download a GGUF file of the model"
_UNPACK = "unpack it and give the path of the .gguf file inside"

# The letters are written as a little-endian number, so they stand reversed in the file.
_LEGACY = {
    b"lmgg": "ggml (unversioned)",
    b"fmgg": "ggmf",
    b"tjgg": "ggjt",
    b"algg": "ggla (LoRA adapter)",
    b"nsgg": "ggsn (saved session)",
    b"qsgg": "ggsq (saved sequence)",
}

_MAGICS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive, which is also what PyTorch checkpoints (.bin, .pt, .pth) are", _CONVERT),
    (b"\x80\x02", "a Python pickle, probably an old PyTorch checkpoint", _CONVERT),
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89HDF", "an HDF5 file (Keras or TensorFlow weights)", _CONVERT),
    (b"\x93NUMPY", "a NumPy array", _GET_GGUF),
    (b"\x7fELF", "a Linux program or library, perhaps a llamafile", _GET_GGUF),
    (b"MZ", "a Windows program or library, perhaps a llamafile", _GET_GGUF),
    (b"%PDF", "a PDF document", _GET_GGUF),
)

_LFS = b"version https://git-lfs.github.com/spec/"
_MARKUP = re.compile(rb"<(!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
_TAR_MAGIC_AT = 257


def recognise(head: bytes, size: int) -> str:
    """Describe a file without GGUF magic as "what it is; what to do next".

    Args:
        head: the file's first ``HEAD_BYTES`` bytes, or all of it when it is shorter.
        size: the file's size in bytes.
    """
    legacy = _LEGACY.get(head[:4]) or _LEGACY.get(head[3::-1])
    if legacy:
        return (
            f"is in the legacy GGML format {legacy}, which predates GGUF and is no longer supported; "
            "download a GGUF file of the model, or convert it with llama.cpp's convert_llama_ggml_to_gguf.py"
        )
    if head[:4] == b"FUGG":
        return "is a GGUF file with its bytes swapped (magic 'FUGG'); download it again"
    if head.startswith(_LFS):
        return _lfs_pointer(head)
    for magic, what, advice in _MAGICS:
        if head.startswith(magic):
            return f"is not a GGUF file but {what}; {advice}"
    if _is_safetensors(head, size):
        return f"is not a GGUF file but a safetensors file; {_CONVERT}"
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return f"is not a GGUF file but a tar archive; {_UNPACK}"
    if not any(head):
        return (
            f"is not a GGUF file: it begins with {len(head)} zero bytes, as a file does whose space was reserved "
            "and whose download never finished; delete it and download it again"
        )
    return _text(head) or f"is not a GGUF file: it begins with {_hex(head)} where 'GGUF' should stand; {_GET_GGUF}"


def _lfs_pointer(head: bytes) -> str:
    size = re.search(rb"^size (\d{1,19})$", head, re.MULTILINE)
    real = f" of {int(size[1])} bytes" if size else ""
    return (
        f"is a Git LFS pointer, not the model{real} that it stands for; run `git lfs pull` in the repository "
        "or download the file itself"
    )


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 10 or head[8:9] != b"{":
        return False
    (header_bytes,) = struct.unpack_from("<Q", head)
    return 2 <= int(header_bytes) <= size - 8


def _text(head: bytes) -> str | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _MARKUP.match(text):
        return (
            f"is not a GGUF file but a web page (it begins with {_excerpt(text)}): the download saved an error or "
            "login page; delete it and download the model again"
        )
    if not text or any(byte < 32 and byte not in b"\t\n\r\f" for byte in text) or not _is_utf8(text):
        return None
    what = "JSON text" if text[:1] in (b"{", b"[") else "text"
    return (
        f"is not a GGUF file but {what} (it begins with {_excerpt(text)}), perhaps the answer of a failed download; "
        "delete it and download the model again"
    )


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        # The head may end in the middle of a character.
        return error.reason == "unexpected end of data" and len(text) > 3
    return True


def _excerpt(text: bytes) -> str:
    line = text.splitlines()[0][:60]
    return repr(line.decode("utf-8", "replace"))


def _hex(head: bytes) -> str:
    return f"the bytes {head[:8].hex(' ')}"

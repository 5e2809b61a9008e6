"""Model files by their headers, read and judged before any native library sees them."""

from gpt4all.gguf.preflight import preflight as preflight
from gpt4all.gguf.preflight import read_header as read_header

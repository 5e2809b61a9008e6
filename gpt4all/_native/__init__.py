"""The only part of the package that touches ctypes and native libraries."""

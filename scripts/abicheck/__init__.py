"""Compares the C header with what Python declares and with what libraries export; run as ``scripts/dev abi``."""

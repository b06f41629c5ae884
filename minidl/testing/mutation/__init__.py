"""Damage code, one small mistake at a time, and see whether tests notice."""

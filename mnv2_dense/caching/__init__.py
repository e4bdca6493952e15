"""Resized copies of data sets: how they are written, and how they stand for the originals."""

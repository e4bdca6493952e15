"""Data sets as others store them: read into one form, and written from it."""

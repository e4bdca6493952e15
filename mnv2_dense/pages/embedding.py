"""Pictures inside of a page."""

import io
from base64 import b64encode

from PIL import Image


def embed(image: Image.Image) -> str:
    """A picture as text: JPEG or PNG, whichever is smaller."""
    encoded = {}
    # Full colour resolution keeps the lines of boxes sharp.
    for name, options in (("png", {"optimize": True}), ("jpeg", {"quality": 85, "subsampling": 0})):
        buffer = io.BytesIO()
        image.save(buffer, name, **options)
        encoded[name] = buffer.getvalue()
    best = min(encoded, key=lambda name: len(encoded[name]))
    return f"data:image/{best};base64,{b64encode(encoded[best]).decode()}"

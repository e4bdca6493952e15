"""A page in the browser that shows what a network sees in a picture."""

"""Networks written for other engines, int8 too, and compared with what they came from."""

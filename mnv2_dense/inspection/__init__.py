"""A data set looked at before it is trained on: everything that is wrong with it, at once."""

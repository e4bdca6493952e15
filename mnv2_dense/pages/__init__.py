"""What the pages of a data set and of a run are made of: one file each, that needs no network."""

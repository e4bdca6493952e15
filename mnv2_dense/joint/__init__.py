"""Both columns over one backbone: trained from two data sets in turn, predicting in one pass."""

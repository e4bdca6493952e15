"""Feature extractors with named taps, which every task shares."""

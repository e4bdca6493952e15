"""Pictures to boxes or label maps, by whichever engine runs the network; see `load`."""

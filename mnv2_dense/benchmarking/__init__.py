"""How fast networks run here, beside other programs, in one interleaved run."""

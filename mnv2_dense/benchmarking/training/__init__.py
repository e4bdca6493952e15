"""Training: steps of both networks, their parts, Lightning around them, and their peers."""

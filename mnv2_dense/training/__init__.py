"""What every task's training shares: optimiser, schedule, loaders, and Lightning callbacks."""

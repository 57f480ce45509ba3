"""Sets that this tool writes: the folder while it is written, its card and README, verification, forgetting."""

"""The command line: each file reads the arguments of one command, and hands them to `commands`."""

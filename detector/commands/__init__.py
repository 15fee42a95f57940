"""The subcommands of `mda`: their options, and what they run. A group of them is a file."""

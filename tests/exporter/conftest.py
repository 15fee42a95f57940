"""The fixture host holds no tests (and sysfs has cycles of symbolic links)."""

collect_ignore = ["fixtures"]

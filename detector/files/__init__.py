"""Tables in files: CSV and parquet read into arrays, scores written beside them.

pandas is imported by these modules alone, and they only when a file is scored.
"""

"""What would have fired: backtests of queries and files, and the report of one."""

"""`mda autotune`: which model and band suit a query, found out on its own past."""

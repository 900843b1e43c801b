"""Labs as files: found, copied, executed, rendered."""

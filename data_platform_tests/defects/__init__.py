"""The defect matrix: kinds of defect, rows that hold them, and a table of what was caught."""

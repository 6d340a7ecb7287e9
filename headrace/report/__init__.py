"""What a compiled program is: its stages in figures, as a table and as a picture."""

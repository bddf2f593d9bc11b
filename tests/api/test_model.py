"""What becomes of messy files and records equals what a plain model of the manual predicts, to the last error."""



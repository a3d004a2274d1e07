"""What finished experiments say of the paper's findings, and RESULTS.md."""

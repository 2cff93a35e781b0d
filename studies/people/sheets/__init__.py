"""The study on paper and in spreadsheets: what is handed out, and how it is read back."""

"""What came out: metrics, statistics, tables, figures, the report, and the human study."""

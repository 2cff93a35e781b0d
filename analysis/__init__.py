"""Analysis of finished runs: metrics, statistics, tables, figures, the report, and the human study."""

"""The figures of reports and pages."""

"""The gallery of published results: targets, measurements, comparisons and pages (validation/README.md)."""

"""The data layer, written once over the `Table` port: each question the core asks, a file per subject."""

"""The state of a dataset, as one page that can be mailed: a pure content, built from what is published, and its renderer."""

"""How a dataset stands, as one page that can be mailed: a pure content, built from what is published, and its renderer."""

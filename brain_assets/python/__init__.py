"""Python that reads like that of FiftyOne Brain and fastdup, thin over what commands and runs do."""

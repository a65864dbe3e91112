"""Which samples people have labelled: of several copies, one that would take its label along is kept."""

READS = ("ground_truth", "objects")
# A query of sample ids: those with a label, or with an object that people have drawn.
LABELLED = """
    select sample_id from ground_truth where len(labels) > 0
    union select sample_id from objects where model = 'ground_truth'"""

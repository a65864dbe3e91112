"""Classes that stand before the number in the names of images, read alike by Python and by SQL."""

import duckdb
from hypothesis import example, given
from hypothesis import strategies as st

from brain_assets.resources.media.class_names import class_in, class_query

NAMES = st.lists(
    st.sampled_from(
        ["cat", "Éclair", "猫", "12", "٣", "_", "-", ".", " ", "(", ")", "/", "_jpg.rf.", "a1", ".png", ".jpeg"]
    ),
    max_size=8,
).map("".join)


@given(NAMES)
@example("a.zip!/dog (2).jpg")
@example("n01440764_10026.JPEG")
def test_sql_reads_what_python_reads(name: str) -> None:
    with duckdb.connect() as connection:
        (found,) = connection.execute(
            f"select {class_query('path')} from (select ?::varchar as path)", [name]
        ).fetchall()[0]
    assert found == class_in(name)
